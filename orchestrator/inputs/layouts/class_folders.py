"""Images in class folders: train/<class>/*.png and test/<class>/*.png, or .jpg."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

import numpy as np

from orchestrator import activity
from orchestrator.inputs.dataset import Layout, Reading
from orchestrator.inputs.layouts import split_folders
from orchestrator.inputs.layouts.bounds import LARGEST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from orchestrator.inputs.layouts.file_tree import FileTree

_FORM = split_folders.pattern("[^/]+", "png|jpe?g")
_MODES = {"RGB", "RGBA", "L", "P"}  # what becomes RGB without a choice
_LARGEST_FILE = 1 << 20  # bytes; a PNG of 32 × 32 pixels has about 2,000


def layout(classes: Sequence[str], side: int) -> Layout:
    """The layout of a dataset with these class names, in the order of their labels, and square images."""
    return Layout(
        name="class folders",
        takes=f"train/CLASS/*.png and test/CLASS/*.png (or .jpg), in a folder or an archive, of {side} x {side} "
        f"pixels; the classes are {', '.join(classes)}, or {len(classes)} other names in alphabetical order",
        recognise=lambda tree: split_folders.recognise(tree, _FORM),
        read=lambda tree: read(tree, classes, side),
    )


def read(tree: FileTree, classes: Sequence[str], side: int) -> Reading:
    """Decode all images: x uint8 (n, 3, side, side), y int32 (n,). Raises ValueError naming the file."""
    chosen = split_folders.samples(tree, _FORM)
    names = split_folders.labels_of(chosen)
    label_of, notes = _labels(names, classes)
    if len(chosen) * 3 * side * side > LARGEST:
        raise ValueError(f"{tree.path} has {len(chosen):,} images, which are more than {LARGEST:,} bytes")
    for sample in chosen:
        if tree.sizes[sample.file] > _LARGEST_FILE:
            raise ValueError(f"{tree.at(sample.file)} has {tree.sizes[sample.file]:,} bytes: too many for its pixels")
    place = {sample.file: number for number, sample in enumerate(chosen)}
    x = np.empty((len(chosen), 3, side, side), np.uint8)
    for name, data in activity.counted(tree.read(list(place)), "reading images", len(place), "images"):
        try:
            x[place[name]] = decoded(data, side).transpose(2, 0, 1)
        except ValueError as error:
            raise ValueError(f"{tree.at(name)}: {error}") from error
    y = np.array([label_of[sample.label] for sample in chosen], np.int32)
    train = np.array([sample.split == "train" for sample in chosen])
    return Reading(
        {"x_train.npy": x[train], "y_train.npy": y[train], "x_test.npy": x[~train], "y_test.npy": y[~train]}, notes
    )


def decoded(data: bytes, side: int) -> NDArray[np.uint8]:
    """Decode one image: uint8 (side, side, 3). Its size is checked before its pixels are. Raises ValueError."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
                if image.size != (side, side):
                    raise ValueError(f"it has {image.width} x {image.height} pixels, wanted {side} x {side}")  # noqa: TRY301
                if image.mode not in _MODES:
                    raise ValueError(f"its pixels are of the type {image.mode}, wanted 8-bit RGB")  # noqa: TRY301
                return np.asarray(image.convert("RGB"))
    except ValueError:
        raise
    except Exception as error:  # a decoder raises whatever comes of damaged data
        raise ValueError("it is not a PNG or JPEG image that can be decoded") from error


def _labels(names: Sequence[str], classes: Sequence[str]) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return the label of each folder, and a note when the folders have names of their own."""
    if len(names) != len(classes):
        listed = ", ".join(names[:12])
        raise ValueError(
            f"there are {len(names)} class folders ({listed}), wanted {len(classes)}: {', '.join(classes)}"
        )
    if {name.lower() for name in names} == set(classes):
        return {name: list(classes).index(name.lower()) for name in names}, ()
    numbered = ", ".join(f"{number} {name}" for number, name in enumerate(names))
    return {name: number for number, name in enumerate(names)}, (f"the class names are its own; labels: {numbered}",)
