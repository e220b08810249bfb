"""Who else uses the processors while a job is measured. A figure taken beside another program says so."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psutil

from orchestrator.strict import Strict
from orchestrator.text import MAX_NAME, printable

WORTH_TELLING = 0.1  # of one CPU, on average over the job
_Identity = tuple[int, float]  # process id and when it began: ids are used again


class Neighbour(Strict):
    """A program that ran at the same time."""

    name: str
    cpus: float | None  # CPU time it used per second, in CPUs; None for a program on the GPU


class Watch:
    """Starts before a job; `neighbours`, after it, are the programs that used CPU time meanwhile or are on its GPUs.

    `gpus` are the UUIDs of those the job gets, `others` the programs that were on them before it. The job's own
    processes are gone by then, and this process is not counted. A program that has ended by then is not seen either.
    """

    def __init__(self, gpus: Iterable[str] = (), others: Iterable[Neighbour] = ()) -> None:
        self._gpus = tuple(gpus)
        self._others = tuple(others)
        self._began = time.monotonic()
        self._before = {identity: seconds for identity, _, seconds in _processes()}

    def neighbours(self) -> tuple[Neighbour, ...]:
        """Other programs on the GPUs, before the job or now; then other programs' use of the CPUs, largest first."""
        now_there = (other for uuid in self._gpus for other in _on_gpu(uuid))
        late = dict.fromkeys(other for other in now_there if other not in self._others)
        elapsed = time.monotonic() - self._began
        used: dict[str, float] = {}
        for identity, name, seconds in _processes():
            used[name] = used.get(name, 0.0) + (seconds - self._before.get(identity, 0.0)) / elapsed
        shares = sorted(used.items(), key=lambda item: -item[1])
        busy = (Neighbour(name=name, cpus=round(share, 2)) for name, share in shares if share >= WORTH_TELLING)
        return (*self._others, *late, *busy)


class Turns:
    """One job at a time on a GPU, whichever orchestrator of this user starts it."""

    def __init__(self, cache: Path, notify: Callable[[str], None]) -> None:
        self._locks = cache / "locks"
        self._notify = notify

    @contextlib.contextmanager
    def on(self, gpus: Iterable[str]) -> Iterator[tuple[Neighbour, ...]]:
        """Wait for a job's turn on these GPUs, told by UUID; yields the programs that use them all the same."""
        with contextlib.ExitStack() as held:
            others: list[Neighbour] = []
            for uuid in sorted(gpus):  # in one order everywhere: nobody waits in a circle
                held.enter_context(self._turn(uuid))
                others += _on_gpu(uuid)
            for other in others:
                self._notify(f"{other.name} is using the GPU too: what is measured now is recorded as disturbed")
            yield tuple(others)

    @contextlib.contextmanager
    def _turn(self, uuid: str) -> Iterator[None]:
        from filelock import FileLock, Timeout

        self._locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._locks / f"{uuid}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            self._notify("waiting for another orchestrator's job on this GPU")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()


def _on_gpu(uuid: str) -> tuple[Neighbour, ...]:
    """Programs that compute on a GPU now; none where the driver does not tell."""
    import pynvml

    with contextlib.suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        try:
            handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
            running = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
            return tuple(Neighbour(name=_program(process.pid), cpus=None) for process in running)
        finally:
            pynvml.nvmlShutdown()
    return ()


def _processes() -> Iterator[tuple[_Identity, str, float]]:
    """Every process but this one: identity, name, CPU seconds so far."""
    for process in psutil.process_iter(["name", "create_time", "cpu_times"]):
        told = process.info
        if process.pid != os.getpid() and told["cpu_times"] is not None:
            times = told["cpu_times"]
            yield (process.pid, told["create_time"]), _name(told["name"]), times.user + times.system


def _program(pid: int) -> str:
    try:
        return _name(psutil.Process(pid).name())
    except psutil.Error:
        return f"process {pid}"


def _name(text: str) -> str:
    """A program chooses its own name."""
    return printable(text, MAX_NAME)
