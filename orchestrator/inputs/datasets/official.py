"""The official archives: where they are, how they are verified, and what is made of them.

Neither archive is ever unpacked to disk, and neither is opened before its checksum matched.
"""

from __future__ import annotations

import contextlib
import tarfile
import zipfile
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.errors import DataError
from orchestrator.inputs.datasets.formats import FORMATS, SPLITS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

_LARGEST = 1 << 30  # bytes an archive may unpack to; the official ones have less than a fifth
_CIFAR10_RECORD = 1 + 3 * 32 * 32  # a label and an image
_START, _UNKNOWN, _FIRST_WORD = 1, 2, 3  # ids; the most frequent word has rank 1, so its id is 4


@dataclass(frozen=True, kw_only=True)
class Archive:
    """One official file. `read` turns it into {"x_train.npy": array, …}."""

    file: str
    base_url: str
    sha256: str
    read: Callable[[Path], Arrays]


def read_cifar10(path: Path, *, records: int = 10_000) -> Arrays:
    """Read cifar-10-binary.tar.gz: x uint8 (n, 3, 32, 32) in C, H, W order, y uint8 (n,).

    The archive holds five training files and a test file of `records` records each: a label byte, then 1,024 bytes
    of red, of green and of blue (https://www.cs.toronto.edu/~kriz/cifar.html). Raises DataError.
    """
    folder = "cifar-10-batches-bin"
    train = [f"{folder}/data_batch_{number}.bin" for number in range(1, 6)]
    test = [f"{folder}/test_batch.bin"]
    with _reading(path):
        members = _members(path, {*train, *test}, records * _CIFAR10_RECORD)
    arrays: Arrays = {}
    for split, names in (("train", train), ("test", test)):
        data = b"".join(members[name] for name in names)
        rows = np.frombuffer(data, np.uint8).reshape(-1, _CIFAR10_RECORD)
        arrays[f"x_{split}.npy"] = rows[:, 1:].reshape(-1, 3, 32, 32)
        arrays[f"y_{split}.npy"] = rows[:, 0]
    return arrays


def read_imdb(path: Path) -> Arrays:
    """Read imdb.npz: x int32 (n, 150) token ids, y int64 (n,), 1 = positive.

    The archive holds, per review, the list of its words' frequency ranks, and it holds them pickled: `path` must be
    the file whose checksum is known. Ids are those of keras.datasets.imdb.load_data(num_words=30000) with its
    defaults: a 1 before the first word, rank + 3, and 2 where that is 30,000 or more. The last 150 ids are kept, and
    shorter reviews padded with 0 at the end. Raises DataError.
    """
    with _reading(path):
        with zipfile.ZipFile(path) as archive:
            if sum(info.file_size for info in archive.infolist()) > _LARGEST:
                raise ValueError(f"it unpacks to more than {_LARGEST:,} bytes")
        with np.load(path, allow_pickle=True) as archive:
            raw = {f"{part}_{split}": archive[f"{part}_{split}"] for part in "xy" for split in SPLITS}
        arrays: Arrays = {}
        for split in SPLITS:
            arrays[f"x_{split}.npy"] = _token_ids(raw[f"x_{split}"])
            arrays[f"y_{split}.npy"] = raw[f"y_{split}"]
        return arrays


def _token_ids(reviews: Sequence[Sequence[int]]) -> NDArray[np.int32]:
    length, vocabulary = FORMATS["imdb"].x_shape[0], FORMATS["imdb"].x_values
    ids = np.zeros((len(reviews), length), np.int32)
    for row, review in zip(ids, reviews, strict=True):
        words = np.asarray(review[-length:], np.int64) + _FIRST_WORD
        words[words >= vocabulary] = _UNKNOWN
        if len(words) < length:
            words = np.concatenate([[_START], words])
        row[: len(words)] = words
    return ids


def _members(path: Path, names: set[str], size: int) -> dict[str, bytes]:
    """Read the regular members called `names`, each of exactly `size` bytes; nothing is written anywhere."""
    found: dict[str, bytes] = {}
    passed = 0
    with tarfile.open(path, "r|gz") as archive:
        for member in archive:
            passed += member.size
            if passed > _LARGEST:
                raise ValueError(f"it unpacks to more than {_LARGEST:,} bytes")
            if member.name not in names:
                continue
            if not member.isreg() or member.size != size or member.name in found:
                raise ValueError(f"{member.name} is not one file of {size:,} bytes")
            stream = archive.extractfile(member)
            found[member.name] = stream.read() if stream else b""
    if missing := sorted(names - found.keys()):
        raise ValueError(f"{missing[0]} is missing")
    return found


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn whatever a broken archive makes a parser raise into one error."""
    try:
        yield
    except Exception as error:
        raise DataError(f"{path} cannot be read: {error}", hint=f"Delete {path}; it is downloaded again.") from error


ARCHIVES: Mapping[str, Archive] = MappingProxyType(
    {
        "cifar10": Archive(
            file="cifar-10-binary.tar.gz",
            base_url="https://www.cs.toronto.edu/~kriz",
            sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            read=read_cifar10,
        ),
        "imdb": Archive(
            file="imdb.npz",
            base_url="https://storage.googleapis.com/tensorflow/tf-keras-datasets",
            sha256="69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f",
            read=read_imdb,
        ),
    }
)
