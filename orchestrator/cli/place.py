"""Which images, workloads and specs the program uses, and where results go.

A checkout is used when `--root` or ROSETTA_ROOT names it, or when the current folder is in it. Otherwise the program
uses the files that are installed with it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import orchestrator
from orchestrator import files
from orchestrator.errors import UsageError

VARIABLE = "ROSETTA_ROOT"
_FOLDERS = ("images", "workloads/common", "configs")  # every checkout has them
_PACKAGE = Path(orchestrator.__file__).resolve().parent


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where this call of the program works."""

    root: Path  # has images/, workloads/, configs/, results/published/ and results/reference/
    results: Path  # where runs are stored, unless --results names another folder
    is_checkout: bool  # whether files below `root` are the user's to change


def find(named: Path | None, here: Path, by: str = "--root ") -> Place:
    """The place for a call in the folder `here`. `named` is the value of --root, or of what `by` says.

    Raises UsageError.
    """
    if named is not None and not _is_checkout(named):
        raise UsageError(
            f"{by}{named}: no checkout of this program", hint=f"it needs the folders {', '.join(_FOLDERS)}"
        )
    checkout = named or next((folder for folder in (here, *here.parents) if _is_checkout(folder)), None)
    if checkout is not None:
        root = checkout.resolve()
        return Place(root=root, results=root / "results", is_checkout=True)
    bundled = _PACKAGE / "_bundled"  # setup.py makes it
    if bundled.is_dir():
        return Place(root=bundled, results=Path("results"), is_checkout=False)
    return Place(root=_PACKAGE.parent, results=Path("results"), is_checkout=True)  # an editable installation


_chosen: list[Place] = []  # by the command line, before its verb runs


def choose(place: Place) -> None:
    """Make `place` the one of this process."""
    _chosen[:] = [place]


def current() -> Place:
    """The place where this process works."""
    return _chosen[0]


def located(hint: str) -> str:
    """The same hint for a user who is not in the checkout: with the path of the specs that are installed."""
    if not _chosen or current().root == files.current_folder():
        return hint
    return re.sub(r"(?<![\w/])configs/(?=README\.md|\*\.yaml)", f"{current().root}/configs/", hint)


def checkout(verb: str) -> Path:
    """The root of the checkout that `verb` writes into. Raises UsageError when there is none."""
    place = current()
    if not place.is_checkout:
        raise UsageError(
            f"`{verb}` writes into a checkout of this program, and the current folder is in none",
            hint="run it inside a git clone, or name one: --root DIR before the command",
        )
    return place.root


def _is_checkout(folder: Path) -> bool:
    # Not Path.is_dir: it raises an error for a folder that this user may not search.
    return all(os.path.isdir(folder / name) for name in _FOLDERS)  # noqa: PTH112
