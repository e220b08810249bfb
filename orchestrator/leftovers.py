"""What runs leave on a machine, for `orchestrator clean`: found by label and by place, removed one by one.

Nothing here belongs to a run that is going on, as far as can be told: a container and a job's folder name the
orchestrator that made them, and what a living one made is left alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import psutil

from orchestrator import docker_cli
from orchestrator.files import remove_tree

OWNER_LABEL = "rosetta.orchestrator"
JOB_FOLDER = "rosetta-job-"
Kind = Literal["container", "job folder", "image", "environment", "dataset", "weights", "batch order"]
CACHED: dict[str, Kind] = {"venvs": "environment", "datasets": "dataset", "weights": "weights", "orders": "batch order"}


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """One thing that can be removed. What is cached is made again when it is needed."""

    kind: Kind
    name: str
    size: int | None  # bytes; None where it takes no space worth telling or cannot be told
    remove: Callable[[], None]


def owner() -> str:
    """This process, as what it makes should name it: a process id alone may be used again."""
    return _name(psutil.Process())


def find(cache: Path, *, everything: bool) -> list[Leftover]:
    """What killed orchestrators left behind; with `everything`, also all images and all that is in the cache."""
    living = {_name(process) for process in psutil.process_iter()}
    found = [*_containers(living), *_job_folders(living)]
    return [*found, *_images(), *_cached(cache)] if everything else found


def _containers(living: Collection[str]) -> Iterator[Leftover]:
    for container in docker_cli.labelled("container", OWNER_LABEL):
        if container.label not in living:
            remove = partial(docker_cli.remove, "container", container.name)
            yield Leftover(kind="container", name=container.name, size=None, remove=remove)


def _images() -> Iterator[Leftover]:
    names = [image.name for image in docker_cli.labelled("image", "rosetta.frameworks")]
    sizes = docker_cli.inspect(names) if names else {}
    for name in names:
        size = sizes[name].size if name in sizes else None
        yield Leftover(kind="image", name=name, size=size, remove=partial(docker_cli.remove, "image", name))


def _job_folders(living: Collection[str]) -> Iterator[Leftover]:
    for folder in sorted(Path(tempfile.gettempdir()).glob(f"{JOB_FOLDER}*")):
        name = folder.name.removeprefix(JOB_FOLDER).rpartition("-")[0]
        if name not in living and folder.is_dir() and not folder.is_symlink():
            yield _folder("job folder", folder)


def _cached(cache: Path) -> Iterator[Leftover]:
    for part, kind in CACHED.items():
        for path in sorted((cache / part).glob("*")):
            if path.suffix != ".lock":
                yield _folder(kind, path)


def _folder(kind: Kind, path: Path) -> Leftover:
    files = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    size = sum(file.lstat().st_size for file in files if file.is_file() or file.is_symlink())
    return Leftover(kind=kind, name=str(path), size=size, remove=partial(remove_tree, path))


def _name(process: psutil.Process) -> str:
    try:
        return f"{process.pid}-{process.create_time():.2f}"
    except psutil.Error:  # it has ended, or is somebody else's
        return ""
