"""How much CPU time and memory the control groups (cgroups) of this process allow, in version 1 and 2. Linux only.

A container, a slice of systemd or a job of a batch system may allow less than the machine has. Each group limits all
groups below it, so the smallest limit of our group and its ancestors holds. In a container the ancestors outside of
it cannot be seen; there the runtime puts the limits on the container's own group, which can.

https://docs.kernel.org/admin-guide/cgroup-v2.html, https://docs.kernel.org/scheduler/sched-bwc.html,
https://docs.kernel.org/admin-guide/cgroup-v1/memory.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from orchestrator.host import scheduling

PROC = Path("/proc")
CPU, MEMORY = "cpu", "memory"  # controllers
DEFAULT_PERIOD = 100_000  # µs, where cpu.max has only the quota
GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What all processes of a group may use together. None where nothing limits it."""

    cpus: float | None = None  # seconds of CPU time per second
    memory: int | None = None  # bytes


@dataclass(frozen=True, kw_only=True)
class _Mount:
    """A hierarchy of groups, or a part of one, in the file system."""

    folder: Path
    root: PurePosixPath  # the group that `folder` shows
    controllers: frozenset[str] | None  # None in version 2, where all share one hierarchy

    def groups(self, path: PurePosixPath) -> list[Path]:
        """The folders of the group `path` and of its ancestors that can be seen, the group first."""
        try:
            below = path.relative_to(self.root)
        except ValueError:
            below = PurePosixPath()  # our group is outside of what is mounted here: only `root` is known to be above it
        if ".." in below.parts:
            below = PurePosixPath()
        return [self.folder / below, *(self.folder / parent for parent in below.parents)]


def inspect(proc: Path = PROC) -> Limits:
    """The limits of this process. A file that is missing, or that holds something else, limits nothing."""
    cpus = [found for group in groups(CPU, proc) if (found := _cpus(group)) is not None]
    memory = [found for group in groups(MEMORY, proc) for found in _memory(group)]
    return Limits(cpus=min(cpus, default=None), memory=min(memory, default=None))


def in_words(cpus: float | None, memory: int | None) -> str:
    """Both limits, each with a comma before it; empty without limits."""
    words = "" if cpus is None else f", quota of {cpus:.3g} CPUs"
    return words if memory is None else f"{words}, memory limit of {size_in_words(memory)}"


def size_in_words(size: int) -> str:
    """`7.5 GiB`, or `90 MiB` for less than one."""
    return f"{size / GIB:.3g} GiB" if size >= GIB else f"{size / 2**20:.0f} MiB"


def groups(controller: str, proc: Path = PROC) -> list[Path]:
    """The folders of the groups that limit this process by `controller`: its own, then the ancestors that are visible.

    Some machines have version 1 and 2 side by side. Then the folders of both are listed; a controller has its files in
    one of them.
    """
    own = scheduling.groups_of("self", proc=proc).items()
    paths = {name: PurePosixPath(path) for controllers, path in own for name in controllers.split(",")}
    found: dict[Path, None] = {}  # a set that keeps its order
    for mount in _mounts(_read(proc / "self" / "mountinfo")):
        name = "" if mount.controllers is None else controller
        if mount.controllers is None or controller in mount.controllers:
            found |= dict.fromkeys(mount.groups(paths[name]) if name in paths else ())
    return list(found)


def _mounts(text: str) -> Iterator[_Mount]:
    """The hierarchies that are mounted, from /proc/self/mountinfo (proc_pid_mountinfo(5))."""
    for line in text.splitlines():
        fields, _, behind = line.partition(" - ")
        places, kind = fields.split(" ")[3:5], behind.split(" ")
        if len(places) < 2 or len(kind) < 3 or kind[0] not in {"cgroup", "cgroup2"}:
            continue
        root, folder = map(_unescaped, places)
        controllers = None if kind[0] == "cgroup2" else frozenset(kind[2].split(","))
        yield _Mount(folder=Path(folder), root=PurePosixPath(root), controllers=controllers)


def _cpus(group: Path) -> float | None:
    """The quota of one group: CPU time divided by the period that it is for."""
    quota, *period = _read(group / "cpu.max").split() or [""]
    if not quota:
        quota, period = _read(group / "cpu.cfs_quota_us"), [_read(group / "cpu.cfs_period_us")]
    allowed, per = _number(quota), _number(period[0]) if period else DEFAULT_PERIOD
    return allowed / per if allowed and per else None


def _memory(group: Path) -> Iterator[int]:
    """The limits of one group. In version 1 a group also says the smallest limit of all its ancestors."""
    for name in ("memory.max", "memory.limit_in_bytes"):
        if limit := _number(_read(group / name)):
            yield limit
    for line in _read(group / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name == "hierarchical_memory_limit" and (limit := _number(value)):
            yield limit


def _number(text: str) -> int | None:
    """A positive number of at most 19 digits; None for "max", -1 and anything else."""
    found = re.fullmatch(r"[0-9]{1,19}", text.strip())
    return int(found[0]) or None if found else None


def _read(path: Path) -> str:
    """A file of the kernel; empty if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except (OSError, ValueError):  # ValueError: no file can have this name
        return ""


def _unescaped(path: str) -> str:
    r"""A path from mountinfo, where spaces and some other characters are written as \040."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), path)
