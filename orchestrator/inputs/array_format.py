"""What the arrays of a labelled dataset look like, wherever they come from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.errors import DataError
from orchestrator.inputs.dataset import Parts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

SPLITS = ("train", "test")
_LABEL = 8  # bytes of a label at most


@dataclass(frozen=True, kw_only=True)
class ArrayFormat:
    """The samples x and the labels y (integers, one per sample) of a dataset."""

    x_dtype: str
    x_shape: tuple[int, ...]  # of one sample
    x_values: int  # every value of x is in [0, x_values)
    classes: int  # every label is in [0, classes)
    train: int  # samples in the official splits
    test: int
    names: tuple[str, ...] = ()  # of the classes, in the order of their labels
    padding: int | None = None  # the value that fills up the end of a short sample, where samples have lengths

    def class_name(self, label: int) -> str:
        """Name a class for a message."""
        return f"{label} ({self.names[label]})" if self.names else str(label)

    def __str__(self) -> str:
        shape = ", ".join(map(str, ("n", *self.x_shape)))
        return (
            f"x_train.npy and x_test.npy are {self.x_dtype} ({shape}) with values 0 to {self.x_values - 1}, "
            f"y_train.npy and y_test.npy are integers (n,) with labels 0 to {self.classes - 1}"
        )

    def check(self, name: str, arrays: Mapping[str, NDArray[Any]], where: Path | str) -> None:
        """Raise DataError unless `arrays`, {file name: array}, are a dataset `name`; `where` they are from is named."""
        for split in SPLITS:
            x_file, y_file = f"x_{split}.npy", f"y_{split}.npy"
            x, y = arrays[x_file], arrays[y_file]
            for file, array, dtype, shape, values in (
                (x_file, x, self.x_dtype, self.x_shape, self.x_values),
                (y_file, y, "integer", (), self.classes),
            ):
                if problem := _difference(array, dtype, shape, values):
                    raise DataError(f"{where}: {file} holds {problem}", hint=f"For {name}, {self}.")
            if len(x) != len(y):
                raise DataError(f"{where}: {x_file} holds {len(x):,} samples, but {y_file} {len(y):,} labels")

    def inspect(self, name: str, arrays: Mapping[str, NDArray[Any]], where: Path) -> list[str]:
        """Return sentences on what a user should know of arrays that were checked. Raises DataError."""
        from orchestrator.inputs import data_checks

        return data_checks.inspect(name, self, arrays, where)

    @property
    def sample_bytes(self) -> int:
        """How large a sample and its label are on disk, at most."""
        import numpy as np

        return int(np.dtype(self.x_dtype).itemsize) * math.prod(self.x_shape) + _LABEL

    def count(self, shapes: Mapping[str, tuple[int, ...]], split: str) -> int:
        """How many samples a split has whose arrays have these shapes, by file name."""
        return shapes[f"y_{split}.npy"][0]

    def stored(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Parts]:
        """The arrays as they are stored: shuffled once, by the key ("stored order", split) alone.

        The official archives and most prepared copies are sorted in some way; after this, the first N samples are a
        fair sample of the classes. Labels become int32.
        """
        from orchestrator.inputs.draws import Draws

        shuffled = {}
        for split in SPLITS:
            order = Draws("stored order", split).permutation(len(arrays[f"y_{split}.npy"]))
            shuffled[f"x_{split}.npy"] = Parts.of(arrays[f"x_{split}.npy"][order])
            shuffled[f"y_{split}.npy"] = Parts.of(arrays[f"y_{split}.npy"][order].astype("<i4"))
        return shuffled


FILES = tuple(f"{part}_{split}.npy" for split in SPLITS for part in "xy")


def _difference(array: NDArray[Any], dtype: str, shape: tuple[int, ...], values: int) -> str:
    """Describe what was found and what was wanted; empty when they agree."""
    typed = array.dtype.kind in "iu" if dtype == "integer" else array.dtype == dtype
    if not typed or array.shape[1:] != shape or array.ndim == 0:
        form = ", ".join(map(str, ("n", *shape))) + ("" if shape else ",")
        return f"{array.dtype} {array.shape}, wanted {dtype} ({form})"
    if not len(array):
        return "no samples, wanted at least one"
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= values:
        return f"values from {low} to {high}, wanted 0 to {values - 1}"
    return ""
