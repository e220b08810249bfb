"""`make benchmark` works; what it measures is not judged here."""

import sys
import time

import psutil

from tests.benchmarks import __main__ as benchmarks


def test_the_benchmarks_that_need_no_engine_run(tmp_path):
    rows = [
        *benchmarks.protocol_and_store(tmp_path, 2000),
        *benchmarks.planning(tmp_path),
        *benchmarks.sampling(tmp_path, rounds=2, seconds=0.5),
    ]
    assert [row[0] for row in rows[:4]] == [
        "2,000 events, protocol + store",
        "plan of 10,000 jobs",
        "a look at a GPU, without NVML's own time",
        "a look at a job, process engine",
    ]
    assert "of a core" in rows[4][1]


def part(source, seconds=60):
    return [sys.executable, "-c", source], seconds


def test_a_part_that_fails_says_so_and_the_others_go_on(capfd):
    parts = {
        "broken": part("print('first row', flush=True); raise SystemExit(3)"),
        "whole": part("print('second row')"),
    }
    assert benchmarks.run_parts(parts) == 1
    out, err = capfd.readouterr()
    assert err.splitlines() == ["measuring broken, for at most 60 s", "measuring whole, for at most 60 s"]
    first, failure, second = out.splitlines()
    assert (first, second) == ("first row", "second row")
    assert failure.split(maxsplit=1) == ["broken", "not measured                   failed with exit code 3"]


def test_a_part_that_hangs_is_ended_with_all_it_started(capfd):
    """Also what has a session of its own, as the processes of a cluster have."""
    source = (
        "import subprocess, time\n"
        "child = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    began = time.monotonic()
    assert benchmarks.run_part(*part(source, seconds=5)) == "not done within 5 s"
    assert time.monotonic() - began < 30
    (pid,) = map(int, capfd.readouterr().out.split())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
