"""CPU time and memory of a container, from its control group (cgroup), version 1 or 2. Linux only.

https://docs.kernel.org/admin-guide/cgroup-v2.html, https://docs.kernel.org/admin-guide/cgroup-v1/memory.html. Memory
includes the page cache of the files that the group was the first to read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.host import scheduling
from orchestrator.host.samples import ResourceUsage

PROC = Path("/proc")
MOUNTED = Path("/sys/fs/cgroup")


@dataclass(frozen=True, kw_only=True)
class Group:
    """The files of one control group."""

    memory: Path
    memory_peak: Path | None  # None in version 2 before kernel 5.19: callers then keep the highest value seen
    cpu: Path
    cpu_seconds: Callable[[str], float]
    source: str
    processes: Path  # the file that lists their ids
    pressure: Path | None = None  # of CPUs; None in version 1, which has none
    quotas: tuple[Path, ...] = ()  # see scheduling.quota_files

    def usage(self) -> ResourceUsage | None:
        """What the group has used so far; None after its last process has ended, when the group is gone."""
        try:
            memory = int(self.memory.read_text())
            peak = int(self.memory_peak.read_text()) if self.memory_peak else memory
            cpu_seconds = self.cpu_seconds(self.cpu.read_text())
        except OSError:
            return None
        return ResourceUsage(
            cpu_seconds=cpu_seconds,
            memory=memory,
            memory_peak=peak,
            source=self.source,
            pressure=scheduling.pressure(self.pressure) if self.pressure else None,
            throttled=scheduling.throttled(self.quotas),
        )

    def pids(self) -> frozenset[int]:
        """The processes of the group now; none once it is gone."""
        try:
            return frozenset(map(int, self.processes.read_text().split()))
        except OSError:
            return frozenset()


def of(pid: int, container: str, *, proc: Path = PROC, mounted: Path = MOUNTED) -> Group | None:
    """The control group of a container whose first process is `pid`; None when it cannot be read here.

    The process id is valid on the daemon's machine, which may be another one, for example a virtual machine. So
    the group's path must contain the id of the container. `proc` and `mounted` are the folders in which the kernel
    shows processes and groups.
    """
    groups = scheduling.groups_of(pid, proc=proc).items()
    paths = {controllers: _up_to(path, container) for controllers, path in groups if container in path}
    found = next((group for group in (_version_1(paths, mounted), _version_2(paths, mounted)) if group), None)
    return found if found and found.usage() else None


def _version_1(paths: dict[str, str], mounted: Path) -> Group | None:
    """The group in version 1, where each controller has a mount of its own, or shares one with another controller."""
    folders = {
        name: mounted / controllers / path for controllers, path in paths.items() for name in controllers.split(",")
    }
    quotas = (scheduling.quota_files_up(mounted / each, paths[each]) for each in paths if "cpu" in each.split(","))
    if not {"memory", "cpuacct"} <= set(folders):
        return None
    return Group(
        memory=folders["memory"] / "memory.usage_in_bytes",
        memory_peak=folders["memory"] / "memory.max_usage_in_bytes",
        cpu=folders["cpuacct"] / "cpuacct.usage",
        cpu_seconds=lambda text: int(text) / 1e9,
        source="cgroup v1",
        processes=folders["memory"] / "cgroup.procs",
        quotas=next(quotas, ()),
    )


def _version_2(paths: dict[str, str], mounted: Path) -> Group | None:
    """The group in version 2, where all controllers share one mount."""
    if "" not in paths:
        return None
    folder = mounted / paths[""]
    peak = folder / "memory.peak"
    return Group(
        memory=folder / "memory.current",
        memory_peak=peak if peak.exists() else None,
        cpu=folder / "cpu.stat",
        cpu_seconds=_usage_usec,
        source="cgroup v2",
        processes=folder / "cgroup.procs",
        pressure=folder / "cpu.pressure",
        quotas=scheduling.quota_files_up(mounted, paths[""]),
    )


def _usage_usec(text: str) -> float:
    """Seconds from the content of cpu.stat: lines of a name and a number."""
    values = dict(line.split(" ", 1) for line in text.splitlines())
    return int(values["usage_usec"]) / 1e6


def _up_to(path: str, container: str) -> str:
    """The path of the container's own group, without groups that it made below; relative to the mount."""
    parts = path.strip("/").split("/")
    own = next(place for place, part in enumerate(parts) if container in part)
    return "/".join(parts[: own + 1])
