"""Virtual environments from the images' lock files, for the process engine.

One per image, variant, lock and interpreter version, in the cache: a changed lock is a new environment, and an
environment that exists is complete, because it is renamed into place only when it is.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import FileLock

from orchestrator.engines.base import Environment
from orchestrator.engines.build_failure import explain
from orchestrator.engines.process import pythons
from orchestrator.engines.streaming import stream
from orchestrator.errors import BuildError, DiskError
from orchestrator.files import atomic_folder, sha256_of
from orchestrator.plan.catalog import Image


def folder_for(image: Image, variant: str, version: str, cache: Path) -> Path:
    """Where the environment of `image` lives for interpreter `version` ("3.11.7"), made or not."""
    return cache / f"{image.name}-{variant}-py{version}-{_locks_digest(image, variant)[:12]}"


def ensure(image: Image, variant: str, interpreter: Path, cache: Path, log: Callable[[str], None]) -> Environment:
    """The virtual environment of `image`, made now unless it exists. `log` gets pip's lines.

    Raises BuildError with pip's last lines and a remedy, DiskError where it cannot be written.
    """
    version = pythons.check(interpreter)
    folder = folder_for(image, variant, version, cache)
    folder.parent.mkdir(parents=True, exist_ok=True)
    python = folder / "bin" / "python"
    with FileLock(folder.with_name(folder.name + ".lock")):
        if not python.exists():
            try:
                with atomic_folder(folder) as place:
                    _make(image, variant, interpreter, place, log)
            except OSError as error:
                raise DiskError(
                    f"environment {image.name} ({variant}) cannot be made in {cache}: {error.strerror}",
                    hint="make room there, or name another cache in ROSETTA_CACHE",
                ) from error
    facts = {
        "image": image.name,
        "variant": variant,
        "python": version,
        "interpreter": str(interpreter),
        "lock_sha256": sha256_of(image.locks[variant]),
    }
    return Environment(handle=str(python), facts=facts)


def _make(image: Image, variant: str, interpreter: Path, place: Path, log: Callable[[str], None]) -> None:
    lines: deque[str] = deque(maxlen=400)

    def keep(line: str) -> None:
        lines.append(line)
        log(line)

    def run(*argv: str) -> None:
        # pip reads the user's own configuration: that is how a private index or a proxy reaches it.
        variables = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
        variables |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
        if stream(argv, keep, variables):
            raise explain(f"the environment of image {image.name} ({variant})", lines, otherwise=f"{argv[0]} failed")

    python = str(place / "bin" / "python")
    run(str(interpreter), "-m", "venv", str(place))
    for lock in _locks(image, variant):
        run(python, "-m", "pip", "install", "--require-hashes", "--no-deps", "--requirement", str(lock))


def _locks(image: Image, variant: str) -> Sequence[Path]:
    """The lock files to install, in order: an image with an old pip brings a lock for a newer one."""
    if variant not in image.locks:
        known = ", ".join(sorted(image.locks)) or "none"
        raise BuildError(f"image {image.name} has no {variant} variant", hint=f"its variants: {known}")
    installer = image.folder / "requirements-pip.txt"
    return [*([installer] if installer.is_file() else []), image.locks[variant]]


def _locks_digest(image: Image, variant: str) -> str:
    import hashlib

    return hashlib.sha256("".join(sha256_of(lock) for lock in _locks(image, variant)).encode()).hexdigest()
