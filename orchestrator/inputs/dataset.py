"""What a dataset is: the types of a definition. inputs/datasets/ has one definition per file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from orchestrator.inputs.array_format import ArrayFormat

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
    sha256: str
    read: Callable[[Path], Arrays]


@dataclass(frozen=True, kw_only=True)
class LabelledDataset:
    """Samples with labels, for training: downloaded, imported, or a synthetic stand-in.

    `synthesise(seed, train, test)` makes a stand-in of so many samples that models learn well but not perfectly, so
    that accuracy stays a real check where there is no real data. `recipe` is raised whenever a seed comes to mean other
    data.
    """

    format: ArrayFormat
    archive: Archive
    synthesise: Callable[[int, int, int], Arrays]
    recipe: int = 1

    def label(self, name: str, source: str) -> str:
        """How tables name it. Only official data goes without its source."""
        return name if source == "official" else f"{name} ({source})"


@dataclass(frozen=True, kw_only=True)
class GeneratedDataset:
    """The input of an inference workload, made from the job's seed and settings.

    `variant(seed, settings)` is part of the folder's name: equal variants, equal data.
    """

    title: str
    variant: Callable[[int, Mapping[str, Any]], str]
    generate: Callable[[int, Mapping[str, Any]], Mapping[str, Parts]]

    def label(self, name: str, source: str) -> str:  # noqa: ARG002  (it has one source only)
        """How tables name it."""
        return self.title


Definition = LabelledDataset | GeneratedDataset
