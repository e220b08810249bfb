"""Who disturbs a measurement is seen and named."""

import subprocess
import threading
import time
from types import SimpleNamespace

import pynvml
import pytest

from orchestrator import neighbours
from orchestrator.neighbours import Neighbour, Turns, Watch


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


@pytest.mark.parametrize("name", ["evil\x1b[31m", "x" * 200])
def test_a_name_is_made_printable(name):
    assert neighbours._name(name).isprintable()
    assert len(neighbours._name(name)) <= 60
