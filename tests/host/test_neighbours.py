"""Programs that disturb a measurement are found and named."""

import contextlib
import dataclasses
import os
import platform
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from orchestrator import leases
from orchestrator.engines.process.engine import ProcessEngine
from orchestrator.host.neighbours import Neighbour, Turns, Watch
from tests.support import engine_cases, fake_nvml
from tests.support.fake_nvml import UUID
from tests.support.machines import machine

NO_PROCESS = 2**22 + 1  # above Linux's highest process id


def test_a_busy_program_is_named_and_an_idle_one_is_not():
    busy = subprocess.Popen(["sh", "-c", "while :; do :; done"])
    idle = subprocess.Popen(["sleep", "60"])
    try:
        watch = Watch()
        time.sleep(1)
        found = {neighbour.name: neighbour.cpus for neighbour in watch.neighbours()}
    finally:
        for process in (busy, idle):
            process.kill()
            process.wait()
    assert found["sh"] >= 0.1
    assert "sleep" not in found


def burner(folder, name):
    """A program of this name that keeps a CPU busy until it is killed."""
    (folder / name).symlink_to(sys.executable)
    return subprocess.Popen([folder / name, "-S", "-c", "while True: pass"])


def test_a_program_that_came_and_went_is_named_and_the_job_is_not(tmp_path):
    watch = Watch()
    came, job = burner(tmp_path, "came-and-went"), burner(tmp_path, "the-job")
    try:
        time.sleep(1)
        watch.look(lambda: {job.pid})
    finally:
        for process in (came, job):
            process.kill()
            process.wait()
    found = {neighbour.name: neighbour.cpus for neighbour in watch.neighbours()}
    assert found["came-and-went"] >= 0.1
    assert "the-job" not in found


def test_nobody_is_named_in_mid_job_where_the_job_is_not_known(tmp_path):
    watch = Watch()
    with burner(tmp_path, "unclear") as process:
        time.sleep(1)
        watch.look(lambda: None)
        process.kill()
    assert "unclear" not in {neighbour.name for neighbour in watch.neighbours()}


def test_this_process_does_not_count(tmp_path):
    """In a process with a name of its own: other processes of this name may run at the same time."""
    (tmp_path / "only-one").symlink_to(sys.executable)
    busy = "import time\nuntil = time.process_time() + 0.3\nwhile time.process_time() < until: pass\n"
    watched = f"from orchestrator.host.neighbours import Watch\nwatch = Watch()\n{busy}"
    source = f"{watched}print([each.name for each in watch.neighbours()])"
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [tmp_path / "only-one", "-c", source], env=variables, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("[")
    assert "only-one" not in done.stdout


def test_two_jobs_take_turns_on_a_gpu(tmp_path, caplog):
    order = []

    def other():
        with Turns(tmp_path).on(["GPU-1"]):
            order.append("second")

    with Turns(tmp_path).on(["GPU-1", "GPU-0"]):
        thread = threading.Thread(target=other)
        thread.start()
        until = time.monotonic() + 10
        while not caplog.messages and time.monotonic() < until:
            time.sleep(0.01)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
    (message,) = caplog.messages
    assert message.startswith(
        f"waiting for the GPU GPU-1, in use by process {os.getpid()} on {platform.node()}, since "
    )
    with Turns(tmp_path).on(["GPU-2"]):
        assert len(caplog.messages) == 1


@contextlib.contextmanager
def program(folder, name):
    """A program of this name that does nothing; yields its process id."""
    path = folder / name
    path.symlink_to(sys.executable)
    source = "import time; print('', flush=True); time.sleep(60)"
    with subprocess.Popen([str(path), "-S", "-c", source], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()


def test_programs_on_the_gpu_are_named(tmp_path, monkeypatch, caplog):
    with program(tmp_path, "miner") as pid:
        fake_nvml.install(monkeypatch, fake_nvml.Card(programs=[pid, NO_PROCESS]))
        with Turns(tmp_path).on([UUID]) as others:
            assert [other.name for other in others] == ["miner", f"process {NO_PROCESS}"]
    assert [other.cpus for other in others] == [None, None]
    assert len(caplog.messages) == 2
    assert "recorded as disturbed" in caplog.messages[0]


def test_a_program_that_comes_to_the_gpu_during_the_job_is_named_once(monkeypatch):
    """A program that was there before is not new, and a program on several GPUs of a job counts once."""
    old, new = (Neighbour(name=f"process {pid}", cpus=None) for pid in (NO_PROCESS, NO_PROCESS + 1))
    cards = [fake_nvml.Card(programs=[NO_PROCESS]), fake_nvml.Card()]
    fake_nvml.install(monkeypatch, *cards, uuids=["GPU-0", "GPU-1"])
    watch = Watch(["GPU-0", "GPU-1"], others=[old])
    for card in cards:
        card.programs = [*card.programs, NO_PROCESS + 1]
    found = [each for each in watch.neighbours() if each.cpus is None]
    assert found == [old, new]


def test_the_gpu_is_looked_at_before_the_next_job_has_its_turn(tmp_path, monkeypatch):
    """Otherwise the next job would be reported as this job's neighbour."""
    taken = []
    lock = tmp_path / "cache" / "locks" / f"{UUID}.lock"

    def programs():
        taken.append(leases.holder(lock) is not None)
        return []

    fake_nvml.install(monkeypatch, fake_nvml.Card(programs=programs))
    chosen = dataclasses.replace(machine("H100").gpus[0], uuid=UUID)
    engine = ProcessEngine(cache=tmp_path / "cache", pythons={"echo": Path(sys.executable)})
    engine_cases.run_echo(engine, tmp_path, "good", root=engine_cases.gpu_project(tmp_path), gpus=[chosen])
    assert taken == [True, True]


@pytest.mark.parametrize("name", ["evil\x1b[31m", "x" * 200])
def test_a_name_is_made_printable(tmp_path, monkeypatch, name):
    with program(tmp_path, name) as pid:
        fake_nvml.install(monkeypatch, fake_nvml.Card(programs=[pid]))
        with Turns(tmp_path).on([UUID]) as (other,):
            pass
    assert other.name.isprintable()
    assert other.name[:4] == name[:4]
    assert len(other.name) <= 60
