"""Virtual environments from the images' lock files, for the process engine.

The cache holds one for each image, variant, lock and interpreter version. So a changed lock leads to a new environment.
An environment that exists is complete: it is made under another name and renamed at the end.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from orchestrator.engines.base import Environment
from orchestrator.engines.build_failure import explain
from orchestrator.engines.process import pythons
from orchestrator.engines.streaming import run_logged
from orchestrator.errors import BuildError, DiskError
from orchestrator.files import atomic_folder, locked, sha256_of
from orchestrator.plan.catalog import Image


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
    lock = folder.with_name(folder.name + ".lock")
    with locked(lock, waiting=f"waiting for another orchestrator that makes {folder.name}"):
        if not python.exists():
            try:
                with atomic_folder(folder) as place:
                    _make(image, variant, interpreter, place)
            except OSError as error:
                raise DiskError(
                    f"environment {image.name} ({variant}) cannot be made in {cache}: {error.strerror}",
                    hint="free some space there, or name another cache in ROSETTA_CACHE",
                ) from error
    facts = {
        "image": image.name,
        "variant": variant,
        "python": version,
        "interpreter": str(interpreter),
        "lock_sha256": sha256_of(image.locks[variant]),
    }
    return Environment(handle=str(python), facts=facts)


def _make(image: Image, variant: str, interpreter: Path, place: Path) -> None:
    # pip reads the user's own configuration: it may name a private index or a proxy.
    variables = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    variables |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    install = (str(place / "bin" / "python"), "-m", "pip", "install", "--require-hashes", "--no-deps", "--requirement")
    for argv in (
        (str(interpreter), "-m", "venv", str(place)),
        *((*install, str(lock)) for lock in _locks(image, variant)),
    ):
        done = run_logged(argv, variables)
        if done.status:
            subject = f"the environment of image {image.name} ({variant})"
            raise explain(subject, done.lines, otherwise=f"{argv[0]} failed")


def _locks(image: Image, variant: str) -> Sequence[Path]:
    """The lock files to install, in order. An image whose Python has an old pip also has a lock for a newer pip."""
    if variant not in image.locks:
        known = ", ".join(sorted(image.locks)) or "none"
        raise BuildError(f"image {image.name} has no {variant} variant", hint=f"its variants: {known}")
    installer = image.folder / "requirements-pip.txt"
    return [*([installer] if installer.is_file() else []), image.locks[variant]]


def _locks_digest(image: Image, variant: str) -> str:
    return hashlib.sha256("".join(sha256_of(lock) for lock in _locks(image, variant)).encode()).hexdigest()
