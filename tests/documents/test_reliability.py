"""Faults of the machine itself, injected for real: a full disk, and kill -9 at any moment."""

import contextlib
import os
import random
import subprocess
import sys
import time

import pytest

from orchestrator.record.run_folder import RunFolder
from orchestrator.report import published, tables
from tests.support import checks, engine_cases, fuzz

KILLS = int(os.environ.get("ROSETTA_KILLS", "10"))
JOBS = ("good", "good2", "good3")
NAMES = [f"{name}-resnet50-cpu-1" for name in JOBS]
RUN = (
    "import sys, pathlib\n"
    "from orchestrator.errors import OrchestratorError\n"
    "from tests.support import engine_cases as cases\n"
    "folder = pathlib.Path(sys.argv[1])\n"
    "try:\n"
    "    cases.run_echo(cases.engine_called(sys.argv[2], folder), folder, *sys.argv[3:])\n"
    "except OrchestratorError as error:\n"
    "    sys.exit(f'{type(error).__name__}: {error.message} ({error.hint})')\n"
)


def run(folder, engine, *behaviours):
    return [sys.executable, "-c", RUN, str(folder), engine, *behaviours]


def test_a_full_disk_ends_the_run_with_the_remedy(root, tmp_path):
    """A file system of 256 KiB, in a mount namespace of the test's own."""
    own_namespace = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    mounted = [*own_namespace, "sh", "-c", f'mount -t tmpfs -o size=256k none "{tmp_path}" && exec "$@"', "sh"]
    if subprocess.run([*mounted, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not allow to mount a tmpfs")
    since = time.time()
    done = subprocess.run(
        [*mounted, *run(tmp_path, "process", "chatty", "good")],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "StoreError" in done.stderr
    assert "No space left on device (make room; then go on with `rosetta bench --resume`)" in done.stderr
    assert "Traceback" not in done.stderr
    assert not engine_cases.echoes(since)


def test_whatever_a_job_prints_there_is_a_result():
    """A bounded run of tests/support/fuzz.py: always the same streams in CI, other ones every day elsewhere."""
    counts = fuzz.fuzz(400, seed=1 if os.environ.get("CI") else time.time_ns() // 86_400_000_000_000)
    assert counts["ok"] > 1  # about one in thirty is not damaged and of the right workload
    assert counts["failed"] > 300


IN_DOCKER = checks.engine("kill -9 in docker", "tests/documents/test_reliability.py")


@pytest.mark.slow
@pytest.mark.parametrize(
    "engine", ["process", pytest.param("docker", marks=[pytest.mark.docker, checks.mark(IN_DOCKER)])]
)
def test_kill_9_at_any_moment_loses_the_running_job_at_most(root, tmp_path, request, engine):
    """ROSETTA_KILLS=200 makes it a long test. Resumed, every run ends in the tables of one that was not killed."""
    if engine == "docker":
        request.getfixturevalue("docker_engine")
    with started(root, tmp_path / "whole", engine) as orchestrator:
        began = time.monotonic()
        assert orchestrator.wait() == 0
        whole = time.monotonic() - began  # of the jobs alone, without what comes before the first
    expected = tables_of(tmp_path / "whole", root)
    moments, incomplete = random.Random(1), 0  # noqa: S311  (moments, not secrets)
    for number in range(KILLS):
        folder = tmp_path / str(number)
        since = time.time()
        with started(root, folder, engine) as orchestrator:
            time.sleep(whole * moments.random())
            orchestrator.kill()
        with engine_cases.at_most(10):
            while engine_cases.echoes(since):
                time.sleep(0.02)
        check(run_folder(folder))
        incomplete += any(run_folder(folder).read_result(name) is None for name in NAMES)
        engine_cases.run_echo(engine_cases.engine_called(engine, folder), folder, *JOBS, resume=run_folder(folder))
        assert tables_of(folder, root) == expected
    assert incomplete > KILLS // 4  # the others were killed when all jobs had their results


@contextlib.contextmanager
def started(root, folder, engine):
    """An orchestrator in a process of its own, once it has made the folder of its run."""
    with subprocess.Popen(run(folder, engine, *JOBS), cwd=root) as orchestrator:
        while not list(folder.glob("results/*")):
            assert orchestrator.poll() is None, "the orchestrator ended before it made a run folder"
            time.sleep(0.01)
        yield orchestrator


def check(killed):
    """Every result there is is whole, and all jobs but the last that began have one."""
    begun = [name for name in NAMES if (killed.path / f"{name}.jsonl").exists()]
    results = [result for name in NAMES if (result := killed.read_result(name)) is not None]
    assert [result.job.id for result in results] == NAMES[: len(results)]
    assert len(begun) - len(results) <= 1
    assert all(result.status == "ok" for result in results)


def run_folder(folder):
    (path,) = folder.glob("results/*")
    return RunFolder(path)


def tables_of(folder, root):
    results = [run_folder(folder).read_result(name) for name in NAMES]
    known = published.load(root / "results" / "reference" / "2017.json")
    return [(table.columns, table.rows) for table in tables.tables(results, known)]
