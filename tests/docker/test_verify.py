"""`orchestrator verify` in real containers: two frameworks that compute the same thing are certified for it."""

import json
import subprocess
import sys

import pytest

from orchestrator import certificates

pytestmark = pytest.mark.docker

FRAMEWORKS = ("numpy", "pytorch")
SMALL = ("--steps", "10", "--set", "resnet50.batch=2")


def test_numpy_and_pytorch_are_certified_for_every_workload(root, docker_engine, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "verify", *FRAMEWORKS, *SMALL, "--engine", "docker", "--json",
         "--results", tmp_path],
        cwd=root, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    cells = json.loads(done.stdout)["cells"]
    assert [(cell["framework"], cell["workload"], cell["word"]) for cell in cells] == [
        (framework, workload, "certified") for workload in ("cnn", "rnn", "resnet50") for framework in FRAMEWORKS
    ]
    for cell in cells:
        assert len(cell["loss_errors"]) == (0 if cell["workload"] == "resnet50" else 10)
        assert cell["probe_error"] > 0  # the oracle in float64, and none of the two, is what they are held to
        path = certificates.path_of(tmp_path, cell["framework"], cell["workload"], "cpu")
        assert certificates.read(path).environment["id"].startswith("sha256:")
