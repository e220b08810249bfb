"""The peers of `make peers`: they belong to a row, and can be measured. What they measure is not judged here."""

import subprocess
import sys

import pytest

from orchestrator.plan import catalog
from tests.benchmarks.peers import __main__ as peers
from tests.support import checks

CHECK = checks.frameworks("a peer", "tests/benchmarks/test_peers.py", "pytorch", inputs=("tests/benchmarks/peers",))


def test_every_peer_belongs_to_a_row(root):
    frameworks = catalog.load(root).frameworks
    rows = {(name, workload) for name, (framework, _) in frameworks.items() for workload in framework.workloads}
    found = {(framework, workload) for framework, workload, _ in peers.cells([], [])}
    assert found
    assert found <= rows


def test_a_peer_that_does_not_exist_is_a_usage_error(root):
    done = measure(root, "--framework", "nothing")
    assert done.returncode == 2
    assert "there is no such peer" in done.stderr


@pytest.mark.docker
@checks.mark(CHECK)
def test_a_row_and_its_peer_are_measured_in_turns(docker_engine, root):
    done = measure(root, "--framework", "pytorch", "--workload", "cnn", "--rounds", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    head, line = (each.split() for each in done.stdout.splitlines())
    assert head[:5] == ["framework", "workload", "row", "peer", "ratio"]
    assert line[:2] == ["pytorch", "cnn"]
    assert float(line[4]) > 0


def measure(root, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.peers", *arguments],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
