"""What a dataset is: the types of a definition. inputs/datasets/ has one definition per file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from orchestrator.inputs.array_format import ArrayFormat
    from orchestrator.inputs.layouts.file_tree import FileTree
    from orchestrator.inputs.text_format import TextFormat

    Arrays = dict[str, NDArray[Any]]


class Parts(NamedTuple):
    """An array that is written piece by piece: the parts, one after the other along the first axis."""

    dtype: str
    shape: tuple[int, ...]
    parts: Iterable[NDArray[Any]]

    @classmethod
    def of(cls, array: NDArray[Any]) -> Parts:
        """An array in one piece."""
        return cls(array.dtype.str, array.shape, [array])


@dataclass(frozen=True, kw_only=True)
class Archive:
    """The official file. `read` turns it into {"x_train.npy": array, …}."""

    file: str
    base_url: str
    size: int  # bytes
    sha256: str
    read: Callable[[Path], Arrays]


class Reading(NamedTuple):
    """What was read of a user's copy: {"x_train.npy": array, …}, and sentences on what a user should know of it."""

    arrays: Arrays
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class KnownFile:
    """A file that its authors publish. `official` says that its arrays are those of the dataset's official archive."""

    name: str
    sha256: str
    official: bool = False


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A form in which people pass a dataset on.

    `recognise(tree)` looks at names and first bytes only. `read(tree)` raises ValueError saying what is wrong, or
    OSError. Both may be given any files at all.
    """

    name: str  # stored with an import
    takes: str  # what it looks like, for help and errors
    recognise: Callable[[FileTree], bool]
    read: Callable[[FileTree], Reading]
    known: KnownFile | None = None


@dataclass(frozen=True, kw_only=True)
class LabelledDataset:
    """Samples with labels, or a text in which each character is the label of those before it: for training.

    It is downloaded, imported, or a synthetic stand-in.

    `synthesise(seed, train, test)` makes a stand-in of so many samples that models learn well but not perfectly, so
    that accuracy stays a real check where there is no real data. `recipe` is raised whenever a seed comes to mean other
    data.
    """

    format: ArrayFormat | TextFormat
    archive: Archive
    synthesise: Callable[[int, int, int], Arrays]
    layouts: tuple[Layout, ...] = ()  # of copies that can be imported: the first one that recognises a copy reads it
    recipe: int = 1

    def label(self, name: str, source: str) -> str:
        """How tables name it. Only official data goes without its source."""
        return name if source == "official" else f"{name} ({source})"


@dataclass(frozen=True, kw_only=True)
class GeneratedDataset:
    """The input of an inference workload, made from the job's seed and settings.

    `variant(seed, settings)` is part of the folder's name: equal variants, equal data. `generate` makes nothing until
    its parts are taken: their shapes tell how large the data would be.
    """

    title: str
    variant: Callable[[int, Mapping[str, Any]], str]
    generate: Callable[[int, Mapping[str, Any]], Mapping[str, Parts]]

    def label(self, name: str, source: str) -> str:  # noqa: ARG002  (it has one source only)
        """How tables name it."""
        return self.title


Definition = LabelledDataset | GeneratedDataset
