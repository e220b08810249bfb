"""CIFAR-10: 32 × 32 colour images of ten classes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.inputs import archives
from orchestrator.inputs.array_format import ArrayFormat
from orchestrator.inputs.dataset import Archive, KnownFile, LabelledDataset, Layout
from orchestrator.inputs.draws import Draws
from orchestrator.inputs.layouts import cifar_batches, class_folders, npy_arrays
from orchestrator.inputs.layouts.bounds import LARGEST

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from orchestrator.inputs.dataset import Arrays

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CHUNK = 1000  # samples made at a time, to bound memory

_CLASSES, _VARIANTS = 10, 3  # of patterns
_CELL, _CELLS = 6, 8  # a pattern is 8 cells of 6 pixels wide and high
_WINDOW = 32  # pixels of it that an image shows, each way
_SHIFTS = _CELL * _CELLS - _WINDOW + 1


def read(path: Path, *, records: int = 10_000, largest: int = LARGEST) -> Arrays:
    """Read cifar-10-binary.tar.gz: x uint8 (n, 3, 32, 32) in C, H, W order, y uint8 (n,).

    The archive holds five training files and a test file of `records` records each. Raises DataError, also when it
    unpacks to more than `largest` bytes.
    """
    names = {f"cifar-10-batches-bin/{name}.bin": name for each in cifar_batches.BATCHES.values() for name in each}
    with archives.reading(path):
        members = archives.members(path, set(names), records * cifar_batches.RECORD, largest)
        return cifar_batches.arrays_of({names[file]: cifar_batches.from_binary(members[file], file) for file in names})


def synthesise(seed: int, train: int, test: int) -> Arrays:
    """Make images of ten classes: x uint8 (n, 3, 32, 32), y int64 (n,).

    A class has three patterns of smooth colours. An image is a window on one of them at a random place, in random
    contrast and brightness, under noise; and another class's pattern shines through, in one image of six or so more
    strongly than its own, which bounds what any model can reach.

    Measured: a plain PyTorch script of the cnn workload (seed 0, the study's hyper-parameters) reached 0.41, 0.67 and
    0.75 of 2,000 test images after 1, 2 and 3 epochs of 20,000 training images. Chance is 0.10.
    """
    patterns = _patterns(Draws("synthetic cifar10", seed, "patterns"))
    arrays: Arrays = {}
    for split, count in (("train", train), ("test", test)):
        draws = Draws("synthetic cifar10", seed, split)
        y = draws.below(_CLASSES, count)
        x = np.empty((count, 3, _WINDOW, _WINDOW), np.uint8)
        for first in range(0, count, _CHUNK):
            chunk = slice(first, first + _CHUNK)
            x[chunk] = _drawn(draws, patterns, y[chunk])
        arrays[f"x_{split}.npy"], arrays[f"y_{split}.npy"] = x, y
    return arrays


def _patterns(draws: Draws) -> NDArray[np.float32]:
    """Random colours at the corners of cells and straight lines between: float32 (classes, variants, 3, 48, 48)."""
    shape = (_CLASSES, _VARIANTS, 3, _CELLS + 1, _CELLS + 1)
    field = _between(draws, -1.0, 1.0, shape)
    ramp = np.arange(_CELL, dtype=np.float32) / np.float32(_CELL)
    for axis in (-1, -2):
        field = np.moveaxis(field, axis, -1)
        left, right = field[..., :-1, None], field[..., 1:, None]
        field = (left + (right - left) * ramp).reshape(*field.shape[:-1], _CELL * _CELLS)
        field = np.moveaxis(field, -1, axis)
    tint = _between(draws, -0.5, 0.5, (_CLASSES, _VARIANTS, 3, 1, 1))
    return np.ascontiguousarray(field + tint)


def _drawn(draws: Draws, patterns: NDArray[np.float32], y: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Draw one image for each label of `y`: uint8 (n, 3, 32, 32)."""
    count = len(y)
    each = (count, 1, 1, 1)
    other = (y + 1 + draws.below(_CLASSES - 1, count)) % _CLASSES
    image = _windows(draws, patterns, y) * _between(draws, 0.3, 1.2, each)
    image += _windows(draws, patterns, other) * _between(draws, 0.0, 0.8, each)
    image += _between(draws, -0.3, 0.3, each)
    image += _noise(draws, image.shape)
    pixels: NDArray[np.float32] = np.clip(image * np.float32(64) + np.float32(128), 0, 255)
    return pixels.astype(np.uint8)


def _windows(draws: Draws, patterns: NDArray[np.float32], classes: NDArray[np.int64]) -> NDArray[np.float32]:
    """Cut a window at a random place out of a random variant of each class's pattern."""
    windows = np.lib.stride_tricks.sliding_window_view(patterns, (_WINDOW, _WINDOW), axis=(3, 4))
    count = len(classes)
    variant, top, left = (draws.below(bound, count) for bound in (_VARIANTS, _SHIFTS, _SHIFTS))
    return windows[classes, variant, :, top, left]


def _noise(draws: Draws, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Draw uniform noise in [-1/2, 1/2]."""
    octets = draws.octets(math.prod(shape)).astype(np.float32)
    noise: NDArray[np.float32] = octets * np.float32(1 / 255) - np.float32(0.5)
    return noise.reshape(shape)


def _between(draws: Draws, low: float, high: float, shape: tuple[int, ...]) -> NDArray[np.float32]:
    values = low + (high - low) * draws.uniform(math.prod(shape))
    return values.astype(np.float32).reshape(shape)


_FORMAT = ArrayFormat(
    x_dtype="uint8", x_shape=(3, 32, 32), x_values=256, classes=10, train=50_000, test=10_000, names=CLASSES
)
_ARCHIVE = Archive(
    file="cifar-10-binary.tar.gz",
    base_url="https://www.cs.toronto.edu/~kriz",
    size=170_052_171,
    sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    read=read,
)
DATASET = LabelledDataset(
    format=_FORMAT,
    archive=_ARCHIVE,
    layouts=(
        Layout(
            name="binary batches",
            takes="cifar-10-binary.tar.gz, or its folder cifar-10-batches-bin",
            recognise=cifar_batches.recognise_binary,
            read=cifar_batches.read_binary,
            known=KnownFile(name=_ARCHIVE.file, sha256=_ARCHIVE.sha256, official=True),
        ),
        Layout(
            name="python batches",
            takes="cifar-10-python.tar.gz, also called cifar-10-batches-py.tar.gz, or its folder cifar-10-batches-py",
            recognise=cifar_batches.recognise_python,
            read=cifar_batches.read_python,
            known=KnownFile(
                name="cifar-10-python.tar.gz",
                sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
                official=True,  # its pixels and labels equal those of the binary archive, in the same order
            ),
        ),
        npy_arrays.layout(_FORMAT),
        class_folders.layout(CLASSES, side=32),
    ),
    synthesise=synthesise,
)
