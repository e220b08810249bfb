"""Programs that disturb a measurement are found and named."""

import dataclasses
import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import psutil
import pynvml
import pytest
from filelock import FileLock, Timeout

from orchestrator.engines.process.engine import ProcessEngine
from orchestrator.host.neighbours import Neighbour, Turns, Watch
from tests.support import engine_cases
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


def test_this_process_does_not_count(tmp_path):
    """In a process with a name of its own: other processes of this name may run at the same time."""
    (tmp_path / "only-one").symlink_to(sys.executable)
    busy = "import time\nuntil = time.process_time() + 0.3\nwhile time.process_time() < until: pass\n"
    watched = f"from orchestrator.host.neighbours import Watch\nwatch = Watch()\n{busy}"
    told = f"{watched}print([each.name for each in watch.neighbours()])"
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [tmp_path / "only-one", "-c", told], env=variables, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("[")
    assert "only-one" not in done.stdout


def test_two_jobs_take_turns_on_a_gpu(tmp_path, on_gpus, caplog):
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
    assert caplog.messages == ["waiting for another orchestrator's job on this GPU"]
    with Turns(tmp_path).on(["GPU-2"]):
        assert len(caplog.messages) == 1


@pytest.fixture
def on_gpus(monkeypatch):
    """The processes that compute on each GPU: what the driver answers. Empty at first."""
    there = defaultdict(list)
    for name, value in {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: 0,
        "nvmlSystemGetDriverVersion": lambda: "1",
        "nvmlSystemGetCudaDriverVersion_v2": lambda: 12040,
        "nvmlDeviceGetHandleByUUID": lambda uuid: uuid,
        "nvmlDeviceGetComputeRunningProcesses": lambda uuid: [SimpleNamespace(pid=pid) for pid in there[uuid]],
    }.items():
        monkeypatch.setattr(pynvml, name, value)
    return there


def test_programs_on_the_gpu_are_named(tmp_path, on_gpus, caplog):
    on_gpus["GPU-1"] = [1, NO_PROCESS]
    with Turns(tmp_path).on(["GPU-1"]) as others:
        assert [other.cpus for other in others] == [None, None]
        assert others[1] == Neighbour(name=f"process {NO_PROCESS}", cpus=None)
    assert len(caplog.messages) == 2
    assert "recorded as disturbed" in caplog.messages[0]


def test_a_program_that_comes_to_the_gpu_during_the_job_is_named_once(on_gpus):
    """A program that was there before is not new, and a program on several GPUs of a job counts once."""
    old, new = (
        Neighbour(name=f"process {NO_PROCESS}", cpus=None),
        Neighbour(name=f"process {NO_PROCESS + 1}", cpus=None),
    )
    on_gpus["GPU-0"] = [NO_PROCESS]
    watch = Watch(["GPU-0", "GPU-1"], others=[old])
    on_gpus["GPU-0"].append(NO_PROCESS + 1)
    on_gpus["GPU-1"] = [NO_PROCESS + 1]
    found = [each for each in watch.neighbours() if each.cpus is None]
    assert found == [old, new]


def test_the_gpu_is_looked_at_before_the_next_job_has_its_turn(tmp_path, on_gpus, monkeypatch):
    """Otherwise the next job would be reported as this job's neighbour."""
    locked = []
    lock = FileLock(tmp_path / "cache" / "locks" / "GPU-1.lock")

    def processes(uuid):
        try:
            lock.acquire(blocking=False)
        except Timeout:
            locked.append(uuid)
        else:
            lock.release()
        return []

    monkeypatch.setattr(pynvml, "nvmlDeviceGetComputeRunningProcesses", processes)
    chosen = dataclasses.replace(machine("H100").gpus[0], uuid="GPU-1")
    engine = ProcessEngine(cache=tmp_path / "cache", pythons={"echo": Path(sys.executable)})
    engine_cases.run_echo(engine, tmp_path, "good", root=engine_cases.gpu_project(tmp_path), gpus=[chosen])
    assert locked == ["GPU-1", "GPU-1"]


@pytest.mark.parametrize("name", ["evil\x1b[31m", "x" * 200])
def test_a_name_is_made_printable(name, monkeypatch):
    class Process:
        pid, info = -1, {"name": name, "create_time": time.time(), "cpu_times": SimpleNamespace(user=1e6, system=0.0)}

    monkeypatch.setattr(psutil, "process_iter", lambda attributes: [])
    watch = Watch()
    monkeypatch.setattr(psutil, "process_iter", lambda attributes: [Process])
    (found,) = watch.neighbours()
    assert found.name.isprintable()
    assert len(found.name) <= 60
