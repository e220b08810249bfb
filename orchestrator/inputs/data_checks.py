"""What is checked of data that a user imports, beyond the types and ranges of its arrays."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.errors import DataError
from orchestrator.inputs.array_format import SPLITS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from orchestrator.inputs.array_format import ArrayFormat

RARE = 0.5  # of an equal share: a class with fewer samples is named


def inspect(name: str, wanted: ArrayFormat, arrays: Mapping[str, NDArray[Any]], where: Path) -> list[str]:
    """Return sentences on what a user should know of these arrays, whose format was checked.

    Raises DataError when a class is missing, or when the test set is part of the training set.
    """
    notes = []
    for split in SPLITS:
        x, y = arrays[f"x_{split}.npy"], arrays[f"y_{split}.npy"]
        notes += _balance(name, wanted, y, f"{where}: the {split} set")
        official = wanted.train if split == "train" else wanted.test
        if len(y) != official:
            notes.append(f"the {split} set has {len(y):,} samples; the official one has {official:,}")
        if wanted.padding is not None:
            notes += _padding(x, wanted.padding, split)
    return notes + _overlap(arrays["x_train.npy"], arrays["x_test.npy"], where)


def _balance(name: str, wanted: ArrayFormat, y: NDArray[Any], where: str) -> list[str]:
    counts = np.bincount(y.astype(np.int64), minlength=wanted.classes)
    if missing := [wanted.class_name(label) for label in np.flatnonzero(counts == 0).tolist()]:
        raise DataError(
            f"{where} has no sample of class {', '.join(missing)}",
            hint=f"{name} has {wanted.classes} classes; use a copy with samples of all of them in train and test.",
        )
    rare = int(counts.argmin())
    if counts[rare] < RARE * len(y) / wanted.classes:
        return [f"{where} has {counts[rare]:,} of {len(y):,} samples of class {wanted.class_name(rare)}, the rarest"]
    return []


def _padding(x: NDArray[Any], padding: int, split: str) -> list[str]:
    """Samples are filled up at their ends; padding in front of words makes another task of it."""
    is_padding = x == padding
    before = int((is_padding[:, :-1] & ~is_padding[:, 1:]).any(axis=1).sum())
    empty = int(is_padding.all(axis=1).sum())
    notes = []
    if before:
        notes.append(f"{before:,} of {len(x):,} {split} samples have padding ({padding}) before words, not at the end")
    if empty:
        notes.append(f"{empty:,} of {len(x):,} {split} samples are empty")
    return notes


def _overlap(train: NDArray[Any], test: NDArray[Any], where: Path) -> list[str]:
    seen = {_digest(sample) for sample in train}
    shared = sum(_digest(sample) in seen for sample in test)
    if shared == len(test):
        raise DataError(
            f"{where}: all {shared:,} test samples are also training samples",
            hint="Use a test set that was kept apart: an accuracy on training samples says nothing about others.",
        )
    return [f"{shared:,} of {len(test):,} test samples are also training samples"] if shared else []


def _digest(sample: NDArray[Any]) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(sample).data, digest_size=16).digest()
