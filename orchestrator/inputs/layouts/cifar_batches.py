"""CIFAR-10 in batches, as its authors publish it (https://www.cs.toronto.edu/~kriz/cifar.html).

Five training batches and a test batch lie in one folder. A binary batch has a record for each image: a label byte,
then 1,024 bytes of red, of green and of blue. A python batch is a pickled dictionary with `labels` and, in the same
order of bytes, `data`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator import activity
from orchestrator.inputs.dataset import Reading
from orchestrator.inputs.layouts import plain_pickle
from orchestrator.inputs.layouts.plain_pickle import PlainArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orchestrator.inputs.dataset import Arrays
    from orchestrator.inputs.layouts.file_tree import FileTree

BATCHES = {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)}
PIXELS = 3 * 32 * 32
RECORD = 1 + PIXELS  # bytes
_LARGEST_BATCH = 1 << 26  # bytes; the official ones have 31 MB

Batch = tuple["NDArray[np.uint8]", "NDArray[np.uint8]"]  # (n, 3072) and (n,)


def recognise_binary(tree: FileTree) -> bool:
    """Whether one of its files is called like a binary batch."""
    return any(name.rpartition("/")[2] == "data_batch_1.bin" for name in tree.sizes)


def recognise_python(tree: FileTree) -> bool:
    """Whether one of its files is called like a python batch."""
    return any(name.rpartition("/")[2] == "data_batch_1" for name in tree.sizes)


def read_binary(tree: FileTree) -> Reading:
    """Read cifar-10-batches-bin. Raises ValueError."""
    return Reading(arrays_of({name: from_binary(data, where) for name, data, where in _files(tree, ".bin")}))


def read_python(tree: FileTree) -> Reading:
    """Read cifar-10-batches-py; nothing of its pickles is run. Raises ValueError."""
    return Reading(arrays_of({name: from_python(data, where) for name, data, where in _files(tree, "")}))


def arrays_of(batches: dict[str, Batch]) -> Arrays:
    """Join batches, {"test_batch": (pixels, labels), …}: x uint8 (n, 3, 32, 32) in C, H, W order, y uint8 (n,)."""
    arrays: Arrays = {}
    for split, names in BATCHES.items():
        arrays[f"x_{split}.npy"] = np.concatenate([batches[name][0] for name in names]).reshape(-1, 3, 32, 32)
        arrays[f"y_{split}.npy"] = np.concatenate([batches[name][1] for name in names])
    return arrays


def from_binary(data: bytes, where: str) -> Batch:
    """Split the records of a binary batch."""
    if not data or len(data) % RECORD:
        raise ValueError(f"{where} has {len(data):,} bytes, which are not records of {RECORD:,}")
    rows = np.frombuffer(data, np.uint8).reshape(-1, RECORD)
    return rows[:, 1:], rows[:, 0]


def from_python(data: bytes, where: str) -> Batch:
    """Read a pickled batch as data."""
    try:
        batch = plain_pickle.load(data)
        return _pixels(_value(batch, "data")), _labels(_value(batch, "labels"))
    except ValueError as error:
        raise ValueError(f"{where} is not a python batch of CIFAR-10: {error}") from error


def _files(tree: FileTree, ending: str) -> Sequence[tuple[str, bytes, str]]:
    """Return name, content and place of all six batches."""
    folder = tree.folder_with(f"data_batch_1{ending}") or ""
    names = {f"{folder}{name}{ending}": name for batches in BATCHES.values() for name in batches}
    for path in names:
        if path not in tree.sizes:
            raise ValueError(f"{tree.at(path)} is missing")
        if tree.sizes[path] > _LARGEST_BATCH:
            raise ValueError(f"{tree.at(path)} has {tree.sizes[path]:,} bytes, a batch at most {_LARGEST_BATCH:,}")
    read = activity.counted(tree.read(names), "reading images", len(names), "batches")
    return [(names[path], data, tree.at(path)) for path, data in read]


def _value(batch: Any, key: str) -> Any:
    found = batch.get(key, batch.get(key.encode())) if type(batch) is dict else None
    if found is None:
        raise ValueError(f"it has no {key!r}")
    return found


def _pixels(array: Any) -> NDArray[np.uint8]:
    if not isinstance(array, PlainArray) or array.dtype not in {"u1", "|u1", "uint8"} or array.fortran_order:
        raise ValueError("its data are not an array of bytes in C order")
    if len(array.shape) != 2 or array.shape[1] != PIXELS or len(array.data) != array.shape[0] * PIXELS:
        raise ValueError(f"its data are {array.shape!r:.100}, wanted (n, {PIXELS})")
    return np.frombuffer(array.data, np.uint8).reshape(-1, PIXELS)


def _labels(labels: Any) -> NDArray[np.uint8]:
    if type(labels) is not list or any(type(label) is not int or not 0 <= label < 10 for label in labels):
        raise ValueError("its labels are not a list of numbers from 0 to 9")
    return np.array(labels, np.uint8)
