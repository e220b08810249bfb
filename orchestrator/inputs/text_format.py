"""What the arrays of a text dataset look like: one long sequence of characters for each split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.errors import DataError
from orchestrator.inputs.array_format import SPLITS
from orchestrator.inputs.dataset import Parts, Reading

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from orchestrator.inputs.dataset import Arrays
    from orchestrator.inputs.layouts.file_tree import FileTree

_HEAD = 4096  # bytes that show whether a file is a text


@dataclass(frozen=True, kw_only=True)
class TextFormat:
    """text_train.npy and text_test.npy, uint8 (n,): the place of each character in `characters`."""

    characters: str  # ASCII, at most 256
    train: int  # characters in the official splits
    test: int

    def __str__(self) -> str:
        return f"text_train.npy and text_test.npy are uint8 (n,) with values 0 to {len(self.characters) - 1}"

    def check(self, name: str, arrays: Mapping[str, NDArray[Any]], where: Path | str) -> None:
        """Raise DataError unless `arrays`, {file name: array}, are a dataset `name`; `where` they are from is named."""
        for split in SPLITS:
            ids = arrays[f"text_{split}.npy"]
            if ids.dtype != np.uint8 or ids.ndim != 1 or len(ids) < 2 or int(ids.max()) >= len(self.characters):
                raise DataError(
                    f"{where}: text_{split}.npy holds {ids.dtype} {ids.shape}, or too few or unknown characters",
                    hint=f"For {name}, {self}.",
                )

    def inspect(self, name: str, arrays: Mapping[str, NDArray[Any]], where: Path) -> list[str]:  # noqa: ARG002
        """Return sentences on what a user should know of arrays that were checked."""
        official = {"train": self.train, "test": self.test}
        lengths = {split: len(arrays[f"text_{split}.npy"]) for split in SPLITS}
        return [
            f"the {split} text has {lengths[split]:,} characters; the official one has {official[split]:,}"
            for split in SPLITS
            if lengths[split] != official[split]
        ]

    @property
    def sample_bytes(self) -> int:
        """How large a character is on disk."""
        return 1

    def count(self, shapes: Mapping[str, tuple[int, ...]], split: str) -> int:
        """How many characters a split has whose arrays have these shapes, by file name."""
        return shapes[f"text_{split}.npy"][0]

    def stored(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Parts]:
        """The arrays as they are stored: a text keeps its order."""
        return {file: Parts.of(array) for file, array in arrays.items()}

    def ids_of(self, text: bytes) -> Arrays:
        """The arrays of a text: the first nine tenths are for training. Raises ValueError for another character."""
        known = np.full(256, len(self.characters), np.int64)
        known[np.frombuffer(self.characters.encode("ascii"), np.uint8)] = np.arange(len(self.characters))
        ids = known[np.frombuffer(text, np.uint8)]
        unknown = np.flatnonzero(ids == len(self.characters))
        if len(unknown):
            place = int(unknown[0])
            raise ValueError(
                f"byte {place + 1:,} is {text[place : place + 1]!r}, not one of the {len(self.characters)} characters "
                f"of this dataset; {len(unknown):,} of {len(text):,} bytes are none of them"
            )
        train = len(ids) * 9 // 10
        parts = {"text_train.npy": ids[:train].astype(np.uint8), "text_test.npy": ids[train:].astype(np.uint8)}
        if min(map(len, parts.values())) < 2:
            raise ValueError(f"it has {len(text):,} characters, wanted at least 20")
        return parts

    def recognise(self, tree: FileTree) -> bool:
        """Whether it is a single file that begins like a text."""
        return tree.kind == "file" and all(_is_text(tree.head(name, _HEAD)) for name in tree.sizes)

    def read(self, tree: FileTree) -> Reading:
        """Read a text file. Raises ValueError naming the file."""
        ((name, data),) = tree.read(list(tree.sizes))
        try:
            return Reading(self.ids_of(data))
        except ValueError as error:
            raise ValueError(f"{tree.at(name)} cannot be imported: {error}") from error


def _is_text(head: bytes) -> bool:
    return head.isascii() and all(byte >= ord(" ") or byte in b"\t\n\r" for byte in head) and bool(head)
