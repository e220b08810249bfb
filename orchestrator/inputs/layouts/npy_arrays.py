"""Four NumPy arrays, x_train, y_train, x_test and y_test: .npy files in a folder, or one .npz file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.inputs import npy
from orchestrator.inputs.array_format import FILES, ArrayFormat
from orchestrator.inputs.dataset import Layout, Reading

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchestrator.inputs.layouts.file_tree import FileTree

_IMAGE = 3  # dimensions of an image


def layout(wanted: ArrayFormat) -> Layout:
    """The layout of a dataset whose arrays are `wanted`."""
    also = ""
    if len(wanted.x_shape) == _IMAGE:
        last = ", ".join(map(str, ("n", *_last(wanted))))
        also = f"; images may also be ({last}), and labels (n, 1)"
    return Layout(
        name="NumPy arrays",
        takes=f"a folder or an .npz file where {wanted}{also}",
        recognise=lambda tree: any(name.rpartition("/")[2] in FILES for name in tree.sizes),
        read=lambda tree: read(tree, wanted),
    )


def read(tree: FileTree, wanted: ArrayFormat) -> Reading:
    """Read the four arrays; nothing pickled is loaded. Raises ValueError naming the file."""
    present = next(file for file in FILES if any(name.rpartition("/")[2] == file for name in tree.sizes))
    folder = tree.folder_with(present) or ""
    for file in FILES:
        if folder + file not in tree.sizes:
            raise ValueError(f"{tree.at(folder + file)} is missing")
    arrays = {}
    for name, data in tree.read([folder + file for file in FILES]):
        try:
            array = npy.array_of(data)
        except ValueError as error:
            raise ValueError(f"{tree.at(name)} cannot be imported: {error}") from error
        arrays[name.removeprefix(folder)] = _adapted(array, wanted)
    return Reading(arrays)


def _last(wanted: ArrayFormat) -> tuple[int, ...]:
    """The shape of an image whose channels come last."""
    return (*wanted.x_shape[1:], wanted.x_shape[0])


def _adapted(array: NDArray[Any], wanted: ArrayFormat) -> NDArray[Any]:
    """Put channels first where they are last, and make a column of labels a vector."""
    if len(wanted.x_shape) == _IMAGE and array.shape[1:] == _last(wanted):
        array = array.transpose(0, 3, 1, 2)
    elif array.shape[1:] == (1,):
        array = array[:, 0]
    return array
