"""Which other programs use the processors while a job is measured. Its result then counts as disturbed."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from pathlib import Path

import psutil

from orchestrator import leases
from orchestrator.host import nvml
from orchestrator.strict import Strict
from orchestrator.text import MAX_NAME, printable

_log = logging.getLogger(__name__)

REPORTED_FROM = 0.1  # CPUs, on average over the job: programs that use less are not reported
BACKGROUND = 0.01  # CPUs, for each CPU: what the kernel and the services of an idle machine may use besides
_Identity = tuple[int, float]  # process id and start time: the system uses ids again


class Neighbour(Strict):
    """A program that ran at the same time."""

    name: str
    cpus: float | None  # CPU time it used per second, in CPUs; None for a program on the GPU


def notable_cpus(cpus: int) -> float:
    """The CPU time per second, in CPUs, from which other programs on the `cpus` CPUs of a job count as a disturbance.

    docs/statistics.md gives the reasons.
    """
    return REPORTED_FROM + BACKGROUND * cpus


class Watch:
    """Finds the programs that use CPU time or the job's GPUs during a job. Make it before the job starts.

    `gpus` are the UUIDs of the job's GPUs; `others` are the programs that used these GPUs before the job. This process
    does not count. Call `neighbours` after the job: its own processes have ended then, and so do not count either. Of
    the programs that ended before that call, those are seen that ran during a call of `look`.
    """

    def __init__(self, gpus: Iterable[str] = (), others: Iterable[Neighbour] = ()) -> None:
        self._gpus = tuple(gpus)
        self._others = tuple(others)
        self._began = time.monotonic()
        self._before = {identity: seconds for identity, _, seconds in _processes()}
        self._seen: dict[_Identity, tuple[str, float]] = {}  # program → its name, CPU seconds when last seen
        self._lock = threading.Lock()

    def look(self, own: Callable[[], AbstractSet[int] | None]) -> None:
        """Remember the programs that run now, while the job runs. `own` gives the process ids of the job.

        It is called before and after, because the job may start and end processes meanwhile. Where it gives None, the
        job cannot be distinguished from other programs, and nothing is remembered.
        """
        before, found, after = own(), list(_processes()), own()
        if before is None or after is None:
            return
        with self._lock:  # the thread of a sampler that hangs may come back after the job
            for identity, name, seconds in found:
                if identity[0] not in before and identity[0] not in after:
                    self._seen[identity] = name, seconds

    def neighbours(self) -> tuple[Neighbour, ...]:
        """Other programs on the GPUs, before the job or now; then other programs on the CPUs, the busiest first."""
        now = (other for uuid in self._gpus for other in _on_gpu(uuid))
        late = dict.fromkeys(other for other in now if other not in self._others)
        elapsed = time.monotonic() - self._began
        with self._lock:
            seen = {**self._seen, **{identity: (name, seconds) for identity, name, seconds in _processes()}}
        used: dict[str, float] = {}
        for identity, (name, seconds) in seen.items():
            used[name] = used.get(name, 0.0) + (seconds - self._before.get(identity, 0.0)) / elapsed
        shares = sorted(used.items(), key=lambda item: -item[1])
        busy = (Neighbour(name=name, cpus=round(share, 2)) for name, share in shares if share >= REPORTED_FROM)
        return (*self._others, *late, *busy)


class Turns:
    """One job at a time on a GPU, across all orchestrators of this user. `cache` holds the lock files.

    Where that is another user's, the folder for temporary files does.
    """

    def __init__(self, cache: Path) -> None:
        locks = cache / "locks"
        there = next(each for each in (locks, *locks.parents) if each.exists())
        own = os.access(there, os.W_OK)
        self._locks = locks if own else Path(tempfile.gettempdir()) / f"rosetta-locks-{os.getuid()}"

    @contextlib.contextmanager
    def on(self, gpus: Iterable[str]) -> Iterator[tuple[Neighbour, ...]]:
        """Wait until no other orchestrator uses these GPUs (UUIDs). Yields the other programs that use them now."""
        with contextlib.ExitStack() as held:
            others: list[Neighbour] = []
            for uuid in sorted(gpus):  # every orchestrator takes locks in the same order, so there is no deadlock
                held.enter_context(self._turn(uuid))
                others += _on_gpu(uuid)
            for other in others:
                _log.warning("%s is using the GPU too: what is measured now is recorded as disturbed", other.name)
            yield tuple(others)

    def _turn(self, uuid: str) -> AbstractContextManager[None]:
        return leases.awaited(self._locks / f"{uuid}.lock", f"the GPU {uuid}")


def _on_gpu(uuid: str) -> tuple[Neighbour, ...]:
    """Programs that compute on a GPU now."""
    return tuple(Neighbour(name=_program(pid), cpus=None) for pid in nvml.programs_on(uuid))


def _processes() -> Iterator[tuple[_Identity, str, float]]:
    """Every process but this one: identity, name, CPU seconds so far."""
    for process in psutil.process_iter(["name", "create_time", "cpu_times"]):
        facts = process.info
        if process.pid != os.getpid() and facts["cpu_times"] is not None:
            times = facts["cpu_times"]
            yield (process.pid, facts["create_time"]), _name(facts["name"]), times.user + times.system


def _program(pid: int) -> str:
    try:
        return _name(psutil.Process(pid).name())
    except psutil.Error:
        return f"process {pid}"


def _name(text: str) -> str:
    """A program's name, made safe to print: any program chooses its own."""
    return printable(text, MAX_NAME)
