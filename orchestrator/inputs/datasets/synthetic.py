"""Made-up stand-ins for the labelled datasets, in the official shapes, that models learn well but not perfectly.

They keep accuracy a real check where there is no real data: a model that trains wrongly stays below what is reached
here. All numbers come from `draws`, so a seed means the same data on every machine.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.inputs.datasets.draws import Draws
from orchestrator.inputs.datasets.formats import FORMATS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

RECIPE = 1  # raised whenever a seed comes to mean other data

_CHUNK = 1000  # samples made at a time, to bound memory

_CLASSES, _VARIANTS = 10, 3  # of patterns
_CELL, _CELLS = 6, 8  # a pattern is 8 cells of 6 pixels wide and high
_WINDOW = 32  # pixels of it that an image shows, each way
_SHIFTS = _CELL * _CELLS - _WINDOW + 1

_RANKS = 40_000  # different words; the rarest are out of vocabulary
_FIRST_WORD, _START, _UNKNOWN = 3, 1, 2  # ids: frequency rank + 3, start of a review, out of vocabulary
_FEELING = 300  # words with a sentiment, half of them good
_FEELING_RANKS = range(20, 3000)


def cifar10(seed: int, train: int, test: int) -> Arrays:
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
            x[chunk] = _images(draws, patterns, y[chunk])
        arrays[f"x_{split}.npy"], arrays[f"y_{split}.npy"] = x, y
    return arrays


def imdb(seed: int, train: int, test: int) -> Arrays:
    """Make reviews: x int32 (n, 150) token ids, y int64 (n,), 1 = positive.

    Words follow Zipf's law. One word in eight is drawn from 300 words with a sentiment instead, which agrees with the
    review's in seven of ten cases; those words also occur by chance. One label in twenty is wrong.

    Measured: a plain PyTorch script of the rnn workload (seed 0, the study's hyper-parameters) reached 0.64, 0.83 and
    0.82 of 5,000 test reviews after 1, 2 and 3 epochs of all 25,000. Chance is 0.50.
    """
    length = FORMATS["imdb"].x_shape[0]
    # Integers only: the cumulative Zipf weights 2**40 / rank, in which a uniform draw is then looked up.
    zipf = np.cumsum((1 << 40) // np.arange(1, _RANKS + 1, dtype=np.int64))
    chosen = Draws("synthetic imdb", seed, "words").permutation(len(_FEELING_RANKS))[:_FEELING]
    feeling = (chosen + _FEELING_RANKS.start).reshape(2, -1)  # ranks of bad and of good words
    arrays: Arrays = {}
    for split, count in (("train", train), ("test", test)):
        draws = Draws("synthetic imdb", seed, split)
        y = draws.below(2, count)
        x = np.empty((count, length), np.int32)
        for first in range(0, count, _CHUNK):
            chunk = slice(first, first + _CHUNK)
            x[chunk] = _reviews(draws, zipf, feeling, y[chunk], length)
        wrong = draws.below(20, count) == 0
        arrays[f"x_{split}.npy"], arrays[f"y_{split}.npy"] = x, np.where(wrong, 1 - y, y)
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


def _images(draws: Draws, patterns: NDArray[np.float32], y: NDArray[np.int64]) -> NDArray[np.uint8]:
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


def _reviews(
    draws: Draws, zipf: NDArray[np.int64], feeling: NDArray[np.int64], y: NDArray[np.int64], length: int
) -> NDArray[np.int64]:
    """Draw one review for each sentiment in `y`: token ids (n, length)."""
    count = len(y)
    size = (count, length)
    uniform = (draws.bits(count * length) % np.uint64(zipf[-1])).astype(np.int64)
    ranks = 1 + np.searchsorted(zipf, uniform, side="right").reshape(size)
    agrees = draws.below(10, count * length).reshape(size) < 7
    tone = np.where(agrees, y[:, None], 1 - y[:, None])
    word = draws.below(feeling.shape[1], count * length).reshape(size)
    ranks = np.where(draws.below(8, count * length).reshape(size) == 0, feeling[tone, word], ranks)
    ids = ranks + _FIRST_WORD
    ids[ids >= FORMATS["imdb"].x_values] = _UNKNOWN
    words = 20 + draws.below(400, count)  # in the whole review
    ids[words < length, 0] = _START  # of a longer one the beginning is cut off
    return np.where(np.arange(length) <= words[:, None], ids, 0)
