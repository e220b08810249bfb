"""What runs leave on a machine, for `rosetta clean`: containers, job folders, images and the cache.

Containers and job folders carry the name of the orchestrator that made them. Only those of an orchestrator that has
certainly ended are removed. It may still run when it is another user's, or on another machine or in another container:
its processes cannot be seen from here.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

import psutil

from orchestrator import leases
from orchestrator.errors import HostError
from orchestrator.files import remove_tree
from orchestrator.host import machine

_log = logging.getLogger(__name__)

OWNER_LABEL = "rosetta.orchestrator"
IMAGE_LABEL = "rosetta.frameworks"  # on every image of this project
JOB_FOLDER = "rosetta-job-"
CLOCK_SECONDS = 2.0  # a process's start time may change by this much when the clock is set
LeftoverKind = Literal[
    "container", "job folder", "image", "environment", "dataset", "weights", "batch order", "frozen data", "code", "log"
]
CACHED: dict[str, LeftoverKind] = {
    "venvs": "environment",
    "datasets": "dataset",
    "weights": "weights",
    "orders": "batch order",
    "frozen": "frozen data",
    "code": "code",
    "builds": "log",
}


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """One thing that can be removed. Cached things are made again when they are needed."""

    kind: LeftoverKind
    name: str
    size: int | None  # bytes; None when it is negligible or unknown
    remove: Callable[[], None]


def owner() -> str:
    """The name of this process, for what it makes. A process id alone is not unique: the system uses it again."""
    return f"{_realm()}-{os.getpid()}-{_began(os.getpid()):.2f}"


@contextlib.contextmanager
def job_folder() -> Iterator[Path]:
    """A folder for one job. `rosetta clean` recognises it should this process be killed."""
    path = Path(tempfile.mkdtemp(prefix=f"{JOB_FOLDER}{owner()}-"))
    try:
        yield path
    finally:
        try:
            remove_tree(path)
        except OSError as error:
            _log.warning("%s cannot be removed now (%s); try `rosetta clean`", path, error.strerror)


def _began(pid: int) -> float:
    """When a process started. Raises psutil.Error; NoSuchProcess when there is no such process.

    On Linux in seconds since boot, which setting the clock does not change; on other systems since 1970.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        return int(stat.rpartition(b")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")  # field 22; its name is the second
    except (OSError, ValueError, IndexError):
        return psutil.Process(pid).create_time()


@lru_cache(maxsize=1)
def _realm() -> str:
    """Where a process id is valid: user, machine, boot, and namespace of process ids (containers have their own)."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip().replace("-", "")[:12]
        ids = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:  # not Linux
        boot, ids = "", 0
    return f"{os.getuid()}.{(machine.machine_id() or '')[:12]}.{boot}.{ids}"


def _is_dead(name: str) -> bool:
    """Whether the orchestrator that calls itself `name` is known to have ended."""
    realm, _, process = name.partition("-")
    pid, _, began = process.partition("-")
    try:
        number, time = int(pid), float(began)
    except ValueError:  # written by another program or version
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
    """Whether a realm is this user's on this machine, but before the machine was started again."""
    theirs, ours = realm.split("."), _realm().split(".")
    return len(theirs) == len(ours) and bool(ours[1]) and theirs[:2] == ours[:2] and theirs[2] != ours[2]


def find(cache: Path, *, everything: bool) -> list[Leftover]:
    """What killed orchestrators left behind; with `everything`, also all images and the whole cache.

    Nothing of the cache is removed while a run uses it.
    """
    found = [*_containers(), *_job_folders()]
    used = leases.users(cache)
    if not used:
        found += _cached(cache) if everything else _replaced_data(cache)
    elif everything:
        _log.warning("the cache %s stays: it is in use by %s", cache, "; ".join(used))
    return [*found, *_images()] if everything else found


def _containers() -> Iterator[Leftover]:
    from orchestrator.engines.docker import client

    try:
        found = client.labelled_containers(OWNER_LABEL)
    except HostError as error:
        _log.info("containers are not searched: %s", error)
        return
    for name, maker in found.items():
        if _is_dead(maker):
            yield Leftover(kind="container", name=name, size=None, remove=partial(client.remove_container, name))


def _images() -> Iterator[Leftover]:
    from orchestrator.engines.docker import client

    try:
        found = client.labelled_images(IMAGE_LABEL)
    except HostError as error:
        _log.info("images are not searched: %s", error)
        return
    for image in found:
        yield Leftover(kind="image", name=image.tag, size=image.size, remove=partial(client.remove_image, image.tag))


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


def _replaced_data(cache: Path) -> Iterator[Leftover]:
    """Frozen data whose dataset was imported or made again since: no other name leads to its files."""
    for folder in sorted((cache / "frozen").glob("*/*")):
        if all(path.stat().st_nlink == 1 for path in folder.glob("*.npy")):
            yield _folder("frozen data", folder)


def _folder(kind: LeftoverKind, path: Path) -> Leftover:
    files = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    size = sum(file.lstat().st_size for file in files if file.is_file() or file.is_symlink())
    return Leftover(kind=kind, name=str(path), size=size, remove=partial(remove_tree, path))
