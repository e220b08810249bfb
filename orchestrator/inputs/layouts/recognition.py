"""Finding out which layout a user's copy of a dataset has, or saying what it is instead."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.errors import DataError, UsageError
from orchestrator.files import open_regular, sha256_of
from orchestrator.inputs.layouts.file_tree import open_tree
from orchestrator.text import printable

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.inputs.dataset import LabelledDataset, Layout, Reading
    from orchestrator.inputs.layouts.file_tree import FileTree

_MESSAGE = 500  # characters of a message that may quote names of files
_NAMES = 8  # entries of a folder or an archive that are named
_KINDS = {
    stat.S_ISFIFO: "a named pipe (FIFO)",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}
_MAGIC = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x93NUMPY": "a single NumPy array",
    b"\x89HDF": "HDF5 data",
    b"PAR1": "Parquet data",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x80": "perhaps a Python pickle",
    b"<": "HTML or XML",
}


class Copy(NamedTuple):
    """A user's copy of a dataset, whose layout is known; `official` when its checksum says what it is."""

    tree: FileTree
    layout: Layout
    origin: str  # where it came from, in words
    official: bool
    notes: tuple[str, ...]


def recognise(name: str, dataset: LabelledDataset, path: Path) -> Copy:
    """Find the layout of the copy at `path`.

    Raises UsageError where there is none, DataError saying what `path` is, and what is taken.
    """
    hint = hint_for(name, dataset)
    if not os.path.lexists(path):
        raise UsageError(
            f"there is no file or folder {printable(str(path), _MESSAGE)}",
            hint=f"type rosetta data import {name} PATH; --help lists the layouts that are read",
        )
    try:
        _require_regular(path)
        tree = open_tree(path)
        layout = next((each for each in dataset.layouts if each.recognise(tree)), None)
        if layout is None:
            raise ValueError(f"{path} is not a copy of {name} in a known layout: it is {_described(tree)}")  # noqa: TRY301
        return _traced(tree, layout)
    except (OSError, ValueError) as error:
        raise DataError(_message(path, error), hint=hint) from error


def read(name: str, copy: Copy) -> Reading:
    """Read a copy. Raises DataError."""
    try:
        return copy.layout.read(copy.tree)
    except (OSError, ValueError) as error:
        raise DataError(_message(copy.tree.path, error), hint=f"For {name}, {copy.layout.takes}.") from error


def hint_for(name: str, dataset: LabelledDataset) -> str:
    """List the layouts that a dataset is taken in."""
    return "\n      ".join([f"{name} is taken as one of:", *(f"- {layout.takes}" for layout in dataset.layouts)])


def _traced(tree: FileTree, layout: Layout) -> Copy:
    """Compare the checksum of a file with that of the file its authors publish."""
    origin = str(tree.path.resolve())
    if layout.known is None or tree.kind == "folder":
        return Copy(tree, layout, origin, official=False, notes=())
    known = layout.known
    if (found := sha256_of(tree.path)) == known.sha256:
        return Copy(tree, layout, f"{origin} ({known.name}, by its SHA-256)", official=known.official, notes=())
    note = f"{tree.path.name} is not the file that its authors publish as {known.name}: its SHA-256 is {found}"
    return Copy(tree, layout, origin, official=False, notes=(printable(note, _MESSAGE),))


def _require_regular(path: Path) -> None:
    mode = path.stat().st_mode
    for is_kind, title in _KINDS.items():
        if is_kind(mode):
            raise ValueError(f"{path} is {title}, wanted a file or a folder")


def _described(tree: FileTree) -> str:
    """Say what a tree is: its kind, its size, and some of its names."""
    if tree.kind == "folder":
        names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in tree.path.iterdir())
        return f"a folder with {_some(names)}" if names else "an empty folder"
    size = f"{tree.path.stat().st_size:,} bytes"
    if tree.kind in {"tar", "zip"}:
        return f"{tree.title} of {size} with {_some(sorted(tree.sizes)) if tree.sizes else 'no files'}"
    if not tree.sizes:
        return f"{tree.title}, of {size}"
    with open_regular(tree.path) as stream:
        start = stream.read(512)
    kind = next((title for magic, title in _MAGIC.items() if start.startswith(magic)), "")
    return f"a file of {size}: {kind or ('text' if start and _is_text(start) else 'unknown data')}"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMES:,} more" if len(names) > _NAMES else ""
    return ", ".join(printable(name, 60) for name in names[:_NAMES]) + more


def _is_text(start: bytes) -> bool:
    return b"\0" not in start and "\N{REPLACEMENT CHARACTER}" not in start[:-4].decode("utf-8", "replace")


def _message(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        text = f"{error.filename or path} does not exist"
    elif isinstance(error, OSError):
        text = f"{path} cannot be read: {error.strerror or error}"
    else:
        text = str(error) if str(path) in str(error) else f"{path}: {error}"
    return printable(text, _MESSAGE)
