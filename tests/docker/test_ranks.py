"""Several ranks train as one would: on CPUs, in the real containers."""

import json
import subprocess
import sys

import pytest

from orchestrator.plan import catalog
from orchestrator.record.run_folder import RunFolder
from tests.support import checks
from tests.support.checks import ROOT

PARALLEL = {name: row.parallel for name, (row, _) in catalog.load(ROOT).frameworks.items() if row.parallel}
CHECK = checks.frameworks("ranks", "tests/docker/test_ranks.py", *PARALLEL)
pytestmark = [pytest.mark.docker, pytest.mark.timeout(900), checks.mark(CHECK)]


def rosetta(*words):
    argv = [sys.executable, "-m", "orchestrator", *words]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=800, check=False)


def test_two_ranks_compute_what_the_reference_computes(docker_engine, tmp_path):
    """The same losses, first update and scores; where a job has dropout, each rank draws masks of its own."""
    ended = rosetta("verify", *PARALLEL, "--set", "ranks=2", "--steps", "3", "--json", "--results", str(tmp_path))
    assert ended.returncode == 0, ended.stderr
    cells = {(cell["framework"], cell["workload"]): cell["word"] for cell in json.loads(ended.stdout)["cells"]}
    assert cells == {(name, workload): "certified" for name, workloads in PARALLEL.items() for workload in workloads}
    (run,) = [folder for folder in (tmp_path / "verify").iterdir() if folder.is_dir()]
    assert {result.start.ranks for result in RunFolder(run).results()} == {2}
    assert len(list((tmp_path / "certificates").glob("*-2-ranks-cpu.json"))) == len(cells)


def test_a_job_of_several_ranks_has_rows_of_its_own(docker_engine, tmp_path):
    ended = rosetta(
        "bench", "smoke", "--framework", "pytorch", "--workload", "cnn", "--set", "ranks=2", "--results", str(tmp_path)
    )
    assert ended.returncode == 0, ended.stderr
    assert "2 ranks" in " ".join(ended.stdout.split())
