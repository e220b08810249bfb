"""`orchestrator check` in a real container: a framework that came in by it holds to all that it asks."""

import json
import subprocess
import sys

import pytest

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
