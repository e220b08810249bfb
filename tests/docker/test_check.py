"""`rosetta check` in a real container: a framework that came in by it holds to all that it asks."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.plan import toy_workload as toy
from tests.support import checks

INPUTS = (*checks.JUDGEMENT, "orchestrator/cli")
CHECK = checks.frameworks("check jax", "tests/docker/test_check.py", "jax", inputs=INPUTS)
pytestmark = [pytest.mark.docker, checks.mark(CHECK)]


def test_jax_conforms(root, docker_engine, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "check", "jax", "--engine", "docker", "--json", "--results", tmp_path],
        cwd=root, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    asked = [finding["question"] for finding in json.loads(done.stdout)["findings"]]
    for workload in ("cnn", "rnn"):
        for question in ("runs", "versions", "parity", "repeats", "clock", "notices a loss of NaN or infinity"):
            assert f"{workload} {question}" in asked
    assert "resnet50 refuses what it cannot do" in asked
    assert asked[-1] == "time"  # reported, not judged: how long it takes is the machine's doing too


@pytest.fixture
def tree(root, docker_engine, tmp_path):
    """A checkout with one workload that takes no time, in the reference alone."""
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("orchestrator", "images/numpy", "workloads/common", "workloads/mistakes", "workloads/numpy"):
        shutil.copytree(root / name, tmp_path / name, ignore=ignore)
    shutil.copy(root / "workloads" / "__init__.py", tmp_path / "workloads")
    for path, text in (
        ("workloads/numpy/toy.py", toy.WORKLOAD.format(extra="", update=toy.UPDATE)),
        ("workloads/mistakes/toy.py", toy.MISTAKES),
        ("orchestrator/plan/workloads/toy.py", toy.DECLARATION),
        ("orchestrator/inputs/datasets/eights.py", toy.DATASET),
    ):
        (tmp_path / path).write_text(text, encoding="utf-8")
    judge = (
        tmp_path / "orchestrator" / "verify" / "conformance.py"
    )  # its epochs take milliseconds: a busy machine is late
    judge.write_text(judge.read_text().replace("SLACK_SECONDS, SLACK_SHARE = 0.1", "SLACK_SECONDS, SLACK_SHARE = 10"))
    return tmp_path


def check(tree, *options):
    """The findings of `check numpy --workload toy`: question → answer."""
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "check", "numpy", "--workload", "toy", "--engine", "docker", "--json", *options],
        cwd=tree, capture_output=True, text=True, timeout=500, check=False, env={**os.environ, "PYTHONPATH": str(tree)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    return {each["question"]: each["answer"] for each in json.loads(done.stdout)["findings"]}


def test_a_cell_that_passed_runs_again_only_after_a_change(tree):
    first = check(tree)
    assert first["toy parity"] == "certified, certificate written"
    assert not {"cnn runs", "rnn runs", "resnet50 runs"} & set(first)  # one workload was asked for
    certificate = json.loads((tree / "results" / "certificates" / "numpy-toy-cpu.json").read_text())
    assert (certificate["parity"]["word"], certificate["steps"]) == ("certified", 20)  # what `verify` compares

    def runs(*options):
        return "toy runs" in check(tree, *options)

    assert not runs()
    assert check(tree)["toy"].endswith("unchanged (--again runs it)")
    assert runs("--again")
    (tree / "results" / "certificates" / "numpy-toy-cpu.json").unlink()
    assert runs()  # and writes it again
    workload = tree / "workloads" / "numpy" / "toy.py"
    workload.write_text(workload.read_text() + "# another byte\n")
    assert runs()
    assert not runs()
