"""Who disturbs a measurement is seen and named."""

import contextlib
import dataclasses
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pynvml
import pytest

from orchestrator.engines.process.engine import ProcessEngine
from orchestrator.host import neighbours
from orchestrator.host.neighbours import Neighbour, Turns, Watch
from tests.support import engine_cases
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


def test_two_jobs_take_turns_on_a_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(neighbours, "_on_gpu", lambda uuid: ())
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


def test_a_program_on_the_gpu_is_named(tmp_path, monkeypatch):
    running = [SimpleNamespace(pid=1), SimpleNamespace(pid=2**22 + 1)]
    for name, value in {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetHandleByUUID": lambda uuid: uuid,
        "nvmlDeviceGetComputeRunningProcesses": lambda handle: running,
    }.items():
        monkeypatch.setattr(pynvml, name, value)
    heard = []
    with Turns(tmp_path, heard.append).on(["GPU-1"]) as others:
        assert [other.cpus for other in others] == [None, None]
        assert others[1] == Neighbour(name=f"process {2**22 + 1}", cpus=None)
    assert len(heard) == 2
    assert "recorded as disturbed" in heard[0]


def test_a_program_that_comes_to_the_gpu_during_the_job_is_named_once(monkeypatch):
    """One that was there before is no news, and none is counted twice where a job has several GPUs."""
    there = {"GPU-0": [Neighbour(name="old", cpus=None)], "GPU-1": []}
    monkeypatch.setattr(neighbours, "_on_gpu", lambda uuid: tuple(there[uuid]))
    watch = Watch(["GPU-0", "GPU-1"], others=there["GPU-0"])
    there["GPU-0"] = [*there["GPU-0"], Neighbour(name="new", cpus=None)]
    there["GPU-1"] = [Neighbour(name="new", cpus=None)]
    found = [each for each in watch.neighbours() if each.cpus is None]
    assert [each.name for each in found] == ["old", "new"]


def test_the_gpu_is_looked_at_before_the_next_job_has_its_turn(tmp_path, monkeypatch):
    """Else that job would be called this one's neighbour."""
    looks, turn = [], []

    @contextlib.contextmanager
    def held(turns, uuid):
        turn.append(uuid)
        yield
        turn.clear()

    monkeypatch.setattr(Turns, "_turn", held)
    monkeypatch.setattr(neighbours, "_on_gpu", lambda uuid: looks.append(list(turn)) or ())
    chosen = dataclasses.replace(machine("H100").gpus[0], uuid="GPU-1")
    engine = ProcessEngine(cache=tmp_path / "cache", pythons={"echo": Path(sys.executable)})
    engine_cases.run_echo(engine, tmp_path, "good", root=engine_cases.gpu_project(tmp_path), gpus=[chosen])
    assert looks == [["GPU-1"], ["GPU-1"]]


@pytest.mark.parametrize("name", ["evil\x1b[31m", "x" * 200])
def test_a_name_is_made_printable(name):
    assert neighbours._name(name).isprintable()
    assert len(neighbours._name(name)) <= 60
