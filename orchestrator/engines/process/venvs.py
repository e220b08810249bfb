"""Virtual environments from the images' lock files, for the process engine.

The cache holds one for each image, variant, lock and interpreter version. So a changed lock leads to a new environment.
An environment that exists is complete: it is made under another name and renamed at the end.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from orchestrator import activity, leases
from orchestrator.activity import Activity
from orchestrator.engines.base import Environment
from orchestrator.engines.build_failure import explain
from orchestrator.engines.process import pythons
from orchestrator.engines.streaming import run_logged
from orchestrator.errors import BuildError, DiskError
from orchestrator.files import CLEAN, atomic_folder, cache_error, free_words, sha256_of
from orchestrator.plan.catalog import Image

_REQUIREMENT = re.compile(r"^[A-Za-z0-9][^\s;=]*==", re.MULTILINE)
_PACKAGE = ("Collecting ", "Processing ", "Requirement already satisfied: ")  # what pip prints first for each
_FULL = 4 << 20  # bytes: an installation that failed with less left has probably failed for lack of space


def folder_for(image: Image, variant: str, version: str, cache: Path) -> Path:
    """The folder of the environment of `image` for interpreter `version` ("3.11.7"), whether or not it exists."""
    return cache / f"{image.name}-{variant}-py{version}-{_locks_digest(image, variant)[:12]}"


def ensure(image: Image, variant: str, interpreter: Path, cache: Path) -> Environment:
    """The virtual environment of `image`; it is made unless it exists. pip's output is logged at level INFO.

    Raises BuildError with pip's last lines and a remedy, and DiskError when the environment cannot be written.
    """
    version = pythons.check(interpreter)
    folder = folder_for(image, variant, version, cache)
    python = folder / "bin" / "python"
    if not _works(python):
        lock = folder.with_name(folder.name + ".lock")
        with leases.awaited(lock, f"the environment {folder.name}"):
            if not _works(python):  # another orchestrator has made it meanwhile
                _make_in(folder, image, variant, interpreter)
    facts = {
        "image": image.name,
        "variant": variant,
        "python": version,
        "interpreter": str(interpreter),
        "lock_sha256": sha256_of(image.locks[variant]),
    }
    return Environment(handle=str(python), facts=facts)


def _works(python: Path) -> bool:
    """Whether the environment is there. One of another user may lead to an interpreter that only he can start."""
    return os.access(python, os.X_OK)


def _make_in(folder: Path, image: Image, variant: str, interpreter: Path) -> None:
    try:
        with _reported(image, variant) as hear, atomic_folder(folder) as place:
            _make(image, variant, interpreter, place, hear)
    except OSError as error:
        why = cache_error(DiskError, folder, error)
        raise DiskError(f"environment {image.name} ({variant}): {why.message}", hint=why.hint) from error


def _fullest(*folders: Path) -> str:
    """What to do when pip finds a disk full: it writes into the environment and into the folder for temporary files."""
    folder = min(folders, key=lambda each: shutil.disk_usage(each).free)
    return (
        f"free some space in {folder}, which has {free_words(folder)} left ({CLEAN}); or name another folder: "
        "ROSETTA_CACHE for environments, TMPDIR for temporary files"
    )


def _make(image: Image, variant: str, interpreter: Path, place: Path, hear: Callable[[str], None]) -> None:
    # pip reads the user's own configuration: it may name a private index or a proxy.
    variables = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    variables |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    install = (str(place / "bin" / "python"), "-m", "pip", "install", "--require-hashes", "--no-deps", "--requirement")
    for argv in (
        (str(interpreter), "-m", "venv", str(place)),
        *((*install, str(lock)) for lock in _locks(image, variant)),
    ):
        done = run_logged(argv, variables, hear)
        if done.status:
            subject = f"the environment of image {image.name} ({variant})"
            full = _fullest(place.parent, Path(tempfile.gettempdir()))
            # venv does not pass on what ensurepip, which it starts, says of a full disk.
            lines = [*done.lines, *(["no space left on device"] if shutil.disk_usage(place).free < _FULL else [])]
            raise explain(subject, lines, otherwise=f"{argv[0]} failed", disk_hint=full)


@contextlib.contextmanager
def _reported(image: Image, variant: str) -> Iterator[Callable[[str], None]]:
    """Report that an environment is made. Yields a function that takes pip's lines, and reports the package by them."""
    total = sum(len(_REQUIREMENT.findall(lock.read_text(encoding="utf-8"))) for lock in _locks(image, variant))
    start = Activity(what=f"making the environment of {image.name} ({variant})", total=total, at="package")
    numbers = itertools.count(1)
    with activity.reported(start) as now:

        def hear(line: str) -> None:
            if line.startswith(_PACKAGE):
                now(done=min(next(numbers), total))

        yield hear


def _locks(image: Image, variant: str) -> Sequence[Path]:
    """The lock files to install, in order. An image whose Python has an old pip also has a lock for a newer pip."""
    if variant not in image.locks:
        known = ", ".join(sorted(image.locks)) or "none"
        raise BuildError(f"image {image.name} has no {variant} variant", hint=f"its variants: {known}")
    installer = image.folder / "requirements-pip.txt"
    return [*([installer] if installer.is_file() else []), image.locks[variant]]


def _locks_digest(image: Image, variant: str) -> str:
    return hashlib.sha256("".join(sha256_of(lock) for lock in _locks(image, variant)).encode()).hexdigest()
