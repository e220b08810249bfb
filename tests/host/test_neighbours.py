"""Who disturbs a measurement is seen and named."""

import contextlib
import dataclasses
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from orchestrator.engines.process.engine import ProcessEngine
from orchestrator.host.neighbours import Neighbour, Turns, Watch
from tests.support import engine_cases, fake_nvml
from tests.support.fake_nvml import UUID
from tests.support.machines import machine


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


def test_this_process_does_not_count():
    watch = Watch()
    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass
    assert all(neighbour.name != "pytest" for neighbour in watch.neighbours())


def test_two_jobs_take_turns_on_a_gpu(tmp_path):
    heard, order, inside = [], [], threading.Event()

    def other():
        with Turns(tmp_path, lambda text: (heard.append(text), inside.set())).on(["GPU-1"]):
            order.append("second")

    with Turns(tmp_path, heard.append).on(["GPU-1", "GPU-0"]):
        thread = threading.Thread(target=other)
        thread.start()
        assert inside.wait(10)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
    assert heard == ["waiting for another orchestrator's job on this GPU"]
    with Turns(tmp_path, heard.append).on(["GPU-2"]):
        assert len(heard) == 1


@contextlib.contextmanager
def program(folder, name):
    """A program of this name that does nothing; yields its process id."""
    path = folder / name
    path.symlink_to(sys.executable)
    with subprocess.Popen(
        [str(path), "-S", "-c", "import time; print('', flush=True); time.sleep(60)"], stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()


def test_a_program_on_the_gpu_is_named(tmp_path, monkeypatch):
    heard = []
    with program(tmp_path, "miner") as pid:
        fake_nvml.install(monkeypatch, fake_nvml.Card(programs=[pid, 2**22 + 1]))
        with Turns(tmp_path, heard.append).on([UUID]) as others:
            assert others == (Neighbour(name="miner", cpus=None), Neighbour(name=f"process {2**22 + 1}", cpus=None))
    assert len(heard) == 2
    assert "recorded as disturbed" in heard[0]


def test_a_program_that_comes_to_the_gpu_during_the_job_is_named_once(tmp_path, monkeypatch):
    """A program that was there before is not new, and one on several GPUs of the job is counted once."""
    with program(tmp_path, "old") as old, program(tmp_path, "new") as new:
        cards = [fake_nvml.Card(programs=[old]), fake_nvml.Card()]
        fake_nvml.install(monkeypatch, *cards, uuids=["GPU-0", "GPU-1"])
        watch = Watch(["GPU-0", "GPU-1"], others=[Neighbour(name="old", cpus=None)])
        for card in cards:
            card.programs = [*card.programs, new]
        found = [each for each in watch.neighbours() if each.cpus is None]
    assert [each.name for each in found] == ["old", "new"]


def test_the_gpu_is_asked_for_programs_while_the_job_still_has_its_turn(tmp_path, monkeypatch):
    """Otherwise the next job on the GPU would be taken for a neighbour of this one."""
    lock = FileLock(tmp_path / "cache" / "locks" / f"{UUID}.lock")
    taken = []

    def programs():
        try:
            lock.acquire(blocking=False)
        except Timeout:
            taken.append(True)
        else:
            lock.release()
            taken.append(False)
        return ()

    fake_nvml.install(monkeypatch, fake_nvml.Card(programs=programs))
    chosen = dataclasses.replace(machine("H100").gpus[0], uuid=UUID)
    engine = ProcessEngine(cache=tmp_path / "cache", pythons={"echo": Path(sys.executable)})
    engine_cases.run_echo(engine, tmp_path, "good", root=engine_cases.gpu_project(tmp_path), gpus=[chosen])
    assert taken == [True, True]


@pytest.mark.parametrize("name", ["evil\x1b[31m", "x" * 200])
def test_a_name_is_made_printable(tmp_path, monkeypatch, name):
    with program(tmp_path, name) as pid:
        fake_nvml.install(monkeypatch, fake_nvml.Card(programs=[pid]))
        with Turns(tmp_path, print).on([UUID]) as (other,):
            pass
    assert other.name.isprintable()
    assert other.name[:4] == name[:4]
    assert len(other.name) <= 60
