"""What runs leave on a machine, for `orchestrator clean`: found by label and by place, removed one by one.

Nothing here belongs to a run that is going on: a container and a job's folder name the orchestrator that made them.
What a living one made is left alone, and so is what another user's, another machine's or another container's
orchestrator made: from here nobody can see whether that one lives.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

import psutil

from orchestrator.engines.docker import docker_cli
from orchestrator.files import remove_tree
from orchestrator.host import machine

OWNER_LABEL = "rosetta.orchestrator"
JOB_FOLDER = "rosetta-job-"
CLOCK_SECONDS = 2.0  # by which the time a process began may change where it is told in terms of a clock that is set
LeftoverKind = Literal["container", "job folder", "image", "environment", "dataset", "weights", "batch order"]
CACHED: dict[str, LeftoverKind] = {
    "venvs": "environment",
    "datasets": "dataset",
    "weights": "weights",
    "orders": "batch order",
}


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """One thing that can be removed. What is cached is made again when it is needed."""

    kind: LeftoverKind
    name: str
    size: int | None  # bytes; None where it takes no space worth telling or cannot be told
    remove: Callable[[], None]


def owner() -> str:
    """This process, as what it makes should name it: a process id alone may be used again, and is used elsewhere."""
    return f"{_realm()}-{os.getpid()}-{_began(os.getpid()):.2f}"


def _began(pid: int) -> float:
    """When a process began. Raises psutil.Error, NoSuchProcess when there is none.

    Linux tells it in seconds since it booted, which setting the clock does not change; others since 1970.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        return int(stat.rpartition(b")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")  # field 22; its name is the second
    except (OSError, ValueError, IndexError):
        return psutil.Process(pid).create_time()


@lru_cache(maxsize=1)
def _realm() -> str:
    """Whose and where a process id is: user, machine, which of its boots, and which container's ids they are."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip().replace("-", "")[:12]
        ids = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:  # no Linux
        boot, ids = "", 0
    return f"{os.getuid()}.{(machine.machine_id() or '')[:12]}.{boot}.{ids}"


def _is_dead(name: str) -> bool:
    """Whether the orchestrator that calls itself `name` is known to have ended."""
    realm, _, process = name.partition("-")
    pid, _, began = process.partition("-")
    try:
        number, time = int(pid), float(began)
    except ValueError:  # what some other program, or version, wrote
        return False
    if realm != _realm():
        return _is_of_an_earlier_boot(realm)
    try:
        return abs(_began(number) - time) > CLOCK_SECONDS
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


def _is_of_an_earlier_boot(realm: str) -> bool:
    """Whether what has this realm was this user's on this machine, which has been started anew since."""
    theirs, ours = realm.split("."), _realm().split(".")
    return len(theirs) == len(ours) and bool(ours[1]) and theirs[:2] == ours[:2] and theirs[2] != ours[2]


def find(cache: Path, *, everything: bool) -> list[Leftover]:
    """What killed orchestrators left behind; with `everything`, also all images and all that is in the cache."""
    found = [*_containers(), *_job_folders()]
    return [*found, *_images(), *_cached(cache)] if everything else found


def _containers() -> Iterator[Leftover]:
    for container in docker_cli.labelled("container", OWNER_LABEL):
        if _is_dead(container.label):
            remove = partial(docker_cli.remove, "container", container.name)
            yield Leftover(kind="container", name=container.name, size=None, remove=remove)


def _images() -> Iterator[Leftover]:
    names = [image.name for image in docker_cli.labelled("image", "rosetta.frameworks")]
    sizes = docker_cli.inspect(names) if names else {}
    for name in names:
        size = sizes[name].size if name in sizes else None
        yield Leftover(kind="image", name=name, size=size, remove=partial(docker_cli.remove, "image", name))


def _job_folders() -> Iterator[Leftover]:
    for folder in sorted(Path(tempfile.gettempdir()).glob(f"{JOB_FOLDER}*")):
        name = folder.name.removeprefix(JOB_FOLDER).rpartition("-")[0]
        if _is_dead(name) and folder.is_dir() and not folder.is_symlink():
            yield _folder("job folder", folder)


def _cached(cache: Path) -> Iterator[Leftover]:
    for part, kind in CACHED.items():
        for path in sorted((cache / part).glob("*")):
            if path.suffix != ".lock":
                yield _folder(kind, path)


def _folder(kind: LeftoverKind, path: Path) -> Leftover:
    files = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    size = sum(file.lstat().st_size for file in files if file.is_file() or file.is_symlink())
    return Leftover(kind=kind, name=str(path), size=size, remove=partial(remove_tree, path))
