"""What the kernel counts about the CPUs of a job: time of all programs, steal, pressure and throttling. Linux only.

Every counter grows, in seconds; what it grew by during a span of time is the figure. A counter that the kernel does not
have is None. https://docs.kernel.org/filesystems/proc.html (stat), https://docs.kernel.org/accounting/psi.html,
https://docs.kernel.org/admin-guide/cgroup-v2.html (cpu.stat), https://docs.kernel.org/scheduler/sched-bwc.html.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
MOUNTED = Path("/sys/fs/cgroup")
# Columns of a CPU's line in /proc/stat, after its name. The time of interrupts is in neither: it may be the job's own.
PROGRAMS = slice(0, 3)  # user, nice, system
STEAL = 7
_UNITS = {"throttled_usec": 1e-6, "throttled_time": 1e-9}  # of version 2 and 1 of control groups → seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineCounters:
    """Counters of the machine since it started."""

    busy: float | None = None  # CPU seconds that all programs used on the CPUs of the job
    steal: float | None = None  # CPU seconds that the hypervisor gave to other machines, of the same CPUs
    pressure: float | None = None  # seconds in which some task of the machine waited for a CPU


class MachineCpus:
    """Reads the counters of some CPUs. `proc` is the folder in which the kernel shows them."""

    def __init__(self, cpus: Sequence[int], *, proc: Path = PROC) -> None:
        self._names = {f"cpu{number}".encode() for number in cpus}
        self._stat = proc / "stat"
        self._pressure = proc / "pressure" / "cpu"

    def read(self) -> MachineCounters:
        """The counters now; none for no CPUs."""
        if not self._names:
            return MachineCounters()
        busy, steal = self._cpu_times()
        return MachineCounters(busy=busy, steal=steal, pressure=pressure(self._pressure))

    def _cpu_times(self) -> tuple[float | None, float | None]:
        """Busy and stolen time. Unknown unless every CPU has a line: containers may hide some."""
        content, found, busy, steal = _content(self._stat), 0, 0, 0
        for line in content.splitlines():
            if not line.startswith(b"cpu"):
                break  # what follows is about interrupts and processes
            name, *ticks = line.split()
            if name in self._names and len(ticks) > STEAL:
                found += 1
                busy += sum(map(int, ticks[PROGRAMS]))
                steal += int(ticks[STEAL])
        if found < len(self._names):
            return None, None
        second = os.sysconf("SC_CLK_TCK")
        return busy / second, steal / second


def pressure(file: Path) -> float | None:
    """Seconds in which some task waited, from a file of pressure stall information; None where there is none."""
    for line in _content(file).splitlines():
        if line.startswith(b"some "):
            return int(line.rpartition(b"total=")[2]) / 1e6
    return None


def groups_of(pid: int | str, *, proc: Path = PROC) -> dict[str, str]:
    """The control groups of a process, as paths in their hierarchies, by the controllers of each; "" is version 2."""
    lines = (line.split(":", 2) for line in os.fsdecode(_content(proc / str(pid) / "cgroup")).splitlines())
    return {line[1]: line[2] for line in lines if len(line) == 3}


def quota_files(pid: int, *, proc: Path = PROC, mounted: Path = MOUNTED) -> tuple[Path, ...]:
    """The files that count how long a quota stopped this process: of its control group and of every group above it.

    A quota may be that of a container, or of a slice far above.
    """
    groups = groups_of(pid, proc=proc).items()
    found = (quota_files_up(mounted / each, path) for each, path in groups if each == "" or "cpu" in each.split(","))
    return tuple(file for files in found for file in files)


def quota_files_up(mount: Path, path: str) -> tuple[Path, ...]:
    """The same for the group at `path` below the folder where its hierarchy is mounted."""
    group = mount / path.strip("/")
    folders = [folder for folder in (group, *group.parents) if folder.is_relative_to(mount)]
    files = (folder / "cpu.stat" for folder in folders)
    # The root of version 2 counts no throttling, and a container sees only its own group, as the root.
    return tuple(file for file in files if _throttled(_content(file)) is not None)


def throttled(files: Sequence[Path]) -> float | None:
    """Seconds for which quotas stopped a job, summed over its CPUs; None where no file counts it.

    The largest of all groups: where one is stopped, those below it are not running either.
    """
    found = [seconds for file in files if (seconds := _throttled(_content(file))) is not None]
    return max(found, default=None)


def _throttled(content: bytes) -> float | None:
    for line in content.decode("ascii", "replace").splitlines():
        name, _, number = line.partition(" ")
        if name in _UNITS:
            return int(number) * _UNITS[name]
    return None


def _content(file: Path) -> bytes:
    """What a file of the kernel says; nothing where it is missing, or switched off."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        parts = []
        while part := os.read(descriptor, 1 << 16):
            parts.append(part)
        return b"".join(parts)
    except OSError:  # pressure that is switched off cannot be read
        return b""
    finally:
        os.close(descriptor)
