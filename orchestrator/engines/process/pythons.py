"""Finds Python interpreters of a wanted version on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from orchestrator.errors import HostError

_VERSION = "import sys; print('%d.%d.%d' % sys.version_info[:3])"


def find(version: str, image: str) -> Path:
    """An interpreter of `version` ("3.11") from PATH or pyenv. Raises HostError naming the remedy."""
    for candidate in _candidates(version):
        found = _version(candidate)
        if found is not None and found.rpartition(".")[0] == version:
            return candidate
    raise HostError(
        f"image {image!r} needs Python {version}, which is neither on PATH nor in pyenv",
        hint=f"install it (`pyenv install {version}`), name one with --python {image}=/path/to/python, or use Docker",
    )


def check(interpreter: Path) -> str:
    """The full version of an interpreter the user named. Raises HostError when it does not run."""
    version = _version(interpreter)
    if version is None:
        raise HostError(f"{interpreter} is no Python interpreter that runs", hint="check the path given to --python")
    return version


def _candidates(version: str) -> Iterator[Path]:
    for name in (f"python{version}", "python3", "python"):
        found = shutil.which(name)
        if found:
            yield Path(found)
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(root.glob(f"versions/{version}.*/bin/python"), reverse=True)
    yield Path(sys.executable)


def _version(interpreter: Path) -> str | None:
    """Asked by running it: a name proves nothing, and pyenv's shims exist for versions that are not there."""
    try:
        done = subprocess.run(
            [str(interpreter), "-I", "-c", _VERSION], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 and done.stdout.strip() else None
