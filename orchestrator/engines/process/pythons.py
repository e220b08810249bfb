"""Finds Python interpreters of a wanted version on this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from python_discovery import PythonInfo, get_interpreter

from orchestrator.errors import HostError, UsageError


def find(version: str, image: str) -> Path:
    """An interpreter of `version` ("3.11") from PATH, pyenv or uv. Raises HostError with the remedy."""
    found = get_interpreter(version, env=_with_pyenv(version))
    # In a virtual environment, the interpreter it was made from: a new environment needs none of its packages.
    path = found and (found.system_executable or found.executable)
    if not path:
        raise HostError(
            f"image {image!r} needs Python {version}, which is neither on PATH nor in pyenv",
            hint=f"install it (`pyenv install {version}`), name one with --python {image}=/path/to/python, "
            "or use Docker",
        )
    return Path(path)


def check(interpreter: Path) -> str:
    """The full version of an interpreter that the user named. Raises HostError when it does not run."""
    info = PythonInfo.from_exe(str(interpreter), raise_on_error=False, resolve_to_host=False)
    if info is None:
        raise HostError(f"{interpreter} is not a working Python interpreter", hint="check the path given to --python")
    return ".".join(map(str, info.version_info[:3]))


def require(given: Mapping[str, Path]) -> None:
    """Raise UsageError for an interpreter that the user named and that does not run; `given` are those of images."""
    for image, path in given.items():
        try:
            check(path)
        except HostError as error:
            why = error.message if os.path.lexists(path) else f"there is no file {path}"
            raise UsageError(
                f"--python {image}={path}: {why}", hint="name a Python interpreter of this machine"
            ) from None


def _with_pyenv(version: str) -> dict[str, str]:
    """The environment, its PATH followed by pyenv's interpreters of `version`.

    By itself python-discovery finds only those of pyenv's interpreters that `pyenv local` or `pyenv global` chose.
    """
    environ = {**os.environ, "PATH": os.environ.get("PATH", os.defpath)}
    folders = _pyenv_folders(version)
    if folders is None:
        environ.pop("PYENV_ROOT", None)  # python-discovery would fail on it
    return {**environ, "PATH": os.pathsep.join([environ["PATH"], *map(str, folders or ())])}


def _pyenv_folders(version: str) -> list[Path] | None:
    """The folders with pyenv's interpreters of `version`, newest first; None when pyenv's folder cannot be read."""
    try:
        root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
        return sorted(root.glob(f"versions/{version}.*/bin"), key=_numbers, reverse=True)
    except (OSError, RuntimeError):  # it belongs to another user; RuntimeError: this user has no home folder
        return None


def _numbers(folder: Path) -> list[int]:
    """The numbers in the name of one of pyenv's versions: [3, 11, 10]."""
    return [int(digits) for digits in re.findall(r"[0-9]+", folder.parent.name)]
