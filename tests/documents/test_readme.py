"""The commands in README and docs/ work.

Commands run as they stand where that takes seconds; a long one runs with the arguments that make it short.
"""

import json
import math
import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from orchestrator.judge import reproduction
from tests.documents.session import COMMAND as SESSION

ROOT = Path(__file__).resolve().parents[2]
WHEEL = "tests/cli/test_wheel.py"  # tests what docs/install.md says
OTHER_LANGUAGES = "tests/docker/test_other_languages.py"  # on the programs of the page
PAGES = [ROOT / "README.md", *(page for page in sorted((ROOT / "docs").glob("*.md")) if page.name != "install.md")]
COMMAND = re.compile(r"^    ((?:make|orchestrator|rosetta|pipx) [^#\n]*)", re.MULTILINE)
NAMED = list(dict.fromkeys(found.strip() for page in PAGES for found in COMMAND.findall(page.read_text("utf-8"))))

AS_IT_STANDS = {
    "make help",
    "rosetta bench configs/quick.yaml --framework numpy --set cnn.epochs=1 --dry-run",
    "rosetta clean --yes",
    "rosetta doctor",
    "rosetta doctor --json",
    "rosetta images build numpy",
    "rosetta list",
    "rosetta report results/published/amd-epyc-2-cpus-gpt.json",
    "rosetta report results/published/amd-epyc-2-cpus-quick.json",
}

# Commands that other tests run.
ELSEWHERE = {
    "rosetta sign capsule.json": "tests/cli/test_vouching.py",  # needs a key of the user
    "rosetta check ort-node --workload resnet50": OTHER_LANGUAGES,
    "rosetta new mlpack --package mlpack==4.0.1 --command 'compile-and-run workloads/{module}/{workload}.cpp'": OTHER_LANGUAGES,
    "rosetta new ort-node --package onnxruntime-node==1.20.1 --command 'node workloads/{module}/{workload}.js'": OTHER_LANGUAGES,
    "pipx install .": WHEEL,
    "rosetta bench smoke": WHEEL,
}

# How a command is run here, and why not as it stands.
SHORT = {
    "rosetta bench seed --framework pytorch --framework jax --workload gpt --set ranks=4": (
        "rosetta bench seed --framework pytorch --framework jax --workload gpt --set ranks=4 --dry-run"
    ),
    "make bench FRAMEWORK=pytorch": "make bench FRAMEWORK=pytorch ARGS=--dry-run",  # tests/docker runs its jobs
    "make test": "make --dry-run test",  # this is make test
    "make bench": "make bench ARGS=--dry-run",
    "make bench FRAMEWORK=numpy WORKLOAD=resnet50": (
        "make bench FRAMEWORK=numpy WORKLOAD=resnet50 ARGS='--set resnet50.batches=1 --set resnet50.batch=2 --results {tmp}/results'"
    ),
    "make bench FRAMEWORK=pytorch CONFIG=configs/seed.yaml DATASET=synthetic": (
        "make bench FRAMEWORK=pytorch CONFIG=configs/seed.yaml DATASET=synthetic ARGS=--dry-run"
    ),
    "rosetta data prepare": "rosetta data prepare cifar10 --synthetic",  # the official hosts may be out of reach
    "rosetta data import cifar10 PATH": "rosetta data import cifar10 {tmp}/arrays",
    "rosetta report": "rosetta report --results {tmp}/results",
    "rosetta report --open": "rosetta report --format html -o {tmp}/report.html --results {tmp}/results",  # no window in a test
    "rosetta report --format markdown": "rosetta report --format markdown --results {tmp}/results",
    "rosetta bench --workload resnet50 --repeats auto --budget 30m": (
        "rosetta bench --workload resnet50 --repeats auto --budget 1s --framework numpy --set resnet50.batches=1"
        " --set resnet50.batch=2 --results {tmp}/results"
    ),
    "rosetta bench configs/quick.yaml --engine ray": (
        "rosetta bench configs/quick.yaml --engine ray --address local --dry-run"
    ),
    "rosetta bench configs/seed.yaml --engine ray --set hosts.exclusive=false --set limits.cpus=8": (
        "rosetta bench configs/seed.yaml --engine ray --set hosts.exclusive=false --set limits.cpus=1"
        " --address local --dry-run"
    ),
    "rosetta bench configs/seed.yaml --engine ray --set each_host=true": (
        "rosetta bench configs/seed.yaml --engine ray --set each_host=true --address local --dry-run"
    ),
    "rosetta compare numpy pytorch": "rosetta compare numpy numpy --results {tmp}/results",
    "rosetta compare OLD NEW --fail-on-slower 5%": (
        "rosetta compare {run} {run} --fail-on-slower 5% --results {tmp}/results"
    ),
    "rosetta report --capsule capsule.json": ("rosetta report --capsule {tmp}/capsule.json --results {tmp}/results"),
    "rosetta reproduce results/RUN/numpy-cnn-cpu-1.json": (
        "rosetta reproduce {tmp}/results/{run}/numpy-resnet50-cpu-1.json --results {tmp}/results --json"
    ),
    "rosetta verify": (
        "rosetta verify numpy --workload resnet50 --set resnet50.batch=1 --results {tmp}/results --python numpy={python}"
    ),
    SESSION: f"{SESSION} --dry-run",  # its recording is docs/session.svg
    "rosetta verify pytorch --workload rnn --steps 50": (
        "rosetta verify numpy --workload rnn --steps 1 --results {tmp}/results --python numpy={python}"
    ),
    "rosetta report RUN --capsule capsule.json": (
        "rosetta report {run} --capsule {tmp}/another.json --results {tmp}/results"
    ),
    "rosetta check numpy": (  # all three workloads take minutes; tests/docker checks a whole framework
        "rosetta check numpy --workload resnet50 --results {tmp}/results --python numpy={python}"
    ),
    "rosetta bench --resume RUN": "rosetta bench --resume {run} --results {tmp}/results",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A cache of its own, arrays to import, and a run to report on and to resume."""
    folder = tmp_path_factory.mktemp("commands")
    (folder / "arrays").mkdir()
    draws = np.random.default_rng(1)
    for split in ("train", "test"):
        np.save(folder / "arrays" / f"x_{split}.npy", draws.integers(0, 256, (100, 3, 32, 32), dtype=np.uint8))
        np.save(folder / "arrays" / f"y_{split}.npy", np.arange(100) % 10)
    command = SHORT["make bench FRAMEWORK=numpy WORKLOAD=resnet50"]
    done = call(command, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Inference with ResNet-50" in done.stdout
    return folder


def call(command, folder):
    run = min((path.name for path in (folder / "results").glob("*")), default="")  # the first one, made by the fixture
    return subprocess.run(
        shlex.split(command.format(tmp=folder, run=run, python=sys.executable)), cwd=ROOT, capture_output=True, text=True, timeout=590, check=False,
        env={**os.environ, "PATH": f"{ROOT}/.venv/bin:{os.environ['PATH']}", "ROSETTA_CACHE": str(folder / "cache")},
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("command", sorted(AS_IT_STANDS | SHORT.keys()))
def test_a_command_of_the_documents_works(command, place):
    if command.startswith("rosetta images") and not _docker_answers():
        if os.environ.get("ROSETTA_REQUIRE_DOCKER"):
            pytest.fail("docker is required here")
        pytest.skip("no Docker daemon")
    done = call(SHORT.get(command, command), place)
    expected = code_of_verdict(done.stdout) if command.startswith("rosetta reproduce") else 0
    assert done.returncode == expected, done.stdout + done.stderr


def code_of_verdict(output):
    """The exit code of `reproduce` for the figures in its JSON.

    A machine that tests share may be slower or faster than a minute ago, so the verdict itself is not known before.
    """
    (answer,) = json.loads(output)["jobs"]
    assert (len(answer["stored"]), len(answer["here"])) == (1, 3), answer
    assert answer["ratio"] == pytest.approx(statistics.median(answer["here"]) / answer["stored"][0])
    tolerance = (1 + answer["floor"]) * (1 + answer["spread"]) - 1
    if answer["spread"] > reproduction.TOO_NOISY:
        expected, code = "CANNOT", 4
    elif abs(math.log(answer["ratio"])) <= math.log1p(tolerance):
        expected, code = "REPRODUCED", 0
    elif answer["why"].startswith("disturbed"):
        expected, code = "CANNOT", 4
    else:
        expected, code = ("SLOWER" if answer["ratio"] > 1 else "FASTER"), 1
    assert answer["word"] == expected, answer
    return code


def test_every_command_of_the_documents_is_run_by_a_test():
    assert set(NAMED) == AS_IT_STANDS | SHORT.keys() | ELSEWHERE.keys()
    assert all((ROOT / test).is_file() for test in ELSEWHERE.values())


def _docker_answers():
    return (
        shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0
    )
