"""IMDB: film reviews as token ids, and whether they are positive."""

from __future__ import annotations

import hashlib
import io
import zipfile
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.files import open_regular
from orchestrator.inputs import archives
from orchestrator.inputs.array_format import SPLITS, ArrayFormat
from orchestrator.inputs.dataset import Archive, KnownFile, LabelledDataset, Layout, Reading
from orchestrator.inputs.draws import Draws
from orchestrator.inputs.layouts import npy_arrays, reviews
from orchestrator.inputs.layouts.bounds import LARGEST
from orchestrator.inputs.layouts.reviews import FIRST_WORD, LENGTH, START, UNKNOWN, VOCABULARY

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from orchestrator.inputs.dataset import Arrays
    from orchestrator.inputs.layouts.file_tree import FileTree

_CHUNK = 1000  # samples made at a time, to bound memory
_RANKS = 40_000  # different words; the rarest are out of vocabulary
_FEELING = 300  # words with a sentiment, half of them good
_FEELING_RANKS = range(20, 3000)


def read(path: Path, *, largest: int = LARGEST) -> Arrays:
    """Read imdb.npz: x int32 (n, 150) token ids, y int64 (n,), 1 = positive.

    The archive holds, per review, the list of its words' frequency ranks, and it holds them pickled: `path` must be
    the file whose checksum is known. Raises DataError, also when the archive unpacks to more than `largest` bytes.
    """
    with archives.reading(path):
        return _unpickled(path.read_bytes(), largest)


def _unpickled(data: bytes, largest: int) -> Arrays:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(info.file_size for info in archive.infolist()) > largest:
            raise ValueError(f"it unpacks to more than {largest:,} bytes")
    with np.load(io.BytesIO(data), allow_pickle=True) as archive:
        raw = {f"{part}_{split}": archive[f"{part}_{split}"] for part in "xy" for split in SPLITS}
    arrays: Arrays = {}
    for split in SPLITS:
        arrays[f"x_{split}.npy"] = reviews.token_ids(raw[f"x_{split}"])
        arrays[f"y_{split}.npy"] = raw[f"y_{split}"]
    return arrays


def recognise_pickled(tree: FileTree) -> bool:
    """Whether it is an .npz whose reviews are pickled, as in imdb.npz."""
    return tree.kind == "zip" and "x_train.npy" in tree.sizes and b"'|O'" in tree.head("x_train.npy", 128)


def read_pickled(tree: FileTree) -> Reading:
    """Read imdb.npz if it is the official file: what was hashed is what is unpickled. Raises ValueError for another."""
    if tree.path.stat().st_size != DATASET.archive.size:
        raise ValueError(f"{tree.path} {_not_official(tree.path)}")
    with open_regular(tree.path) as stream:
        data = stream.read(DATASET.archive.size + 1)
    if hashlib.sha256(data).hexdigest() != DATASET.archive.sha256:
        raise ValueError(f"{tree.path} {_not_official(tree.path)}")
    return Reading(_unpickled(data, LARGEST))


def _not_official(path: Path) -> str:
    return (
        "holds pickled Python objects, which are loaded only from the official imdb.npz: "
        f"{archives.difference(path, DATASET.archive)}"
    )


def synthesise(seed: int, train: int, test: int) -> Arrays:
    """Make reviews: x int32 (n, 150) token ids, y int64 (n,), 1 = positive.

    Words follow Zipf's law. One word in eight is drawn from 300 words with a sentiment instead, which agrees with the
    review's in seven of ten cases; those words also occur by chance. One label in twenty is wrong.

    Measured: a plain PyTorch script of the rnn workload (seed 0, the study's hyper-parameters) reached 0.64, 0.83 and
    0.82 of 5,000 test reviews after 1, 2 and 3 epochs of all 25,000. Chance is 0.50.
    """
    # Integers only: the cumulative Zipf weights 2**40 / rank, in which a uniform draw is then looked up.
    zipf = np.cumsum((1 << 40) // np.arange(1, _RANKS + 1, dtype=np.int64))
    chosen = Draws("synthetic imdb", seed, "words").permutation(len(_FEELING_RANKS))[:_FEELING]
    feeling = (chosen + _FEELING_RANKS.start).reshape(2, -1)  # ranks of bad and of good words
    arrays: Arrays = {}
    for split, count in (("train", train), ("test", test)):
        draws = Draws("synthetic imdb", seed, split)
        y = draws.below(2, count)
        x = np.empty((count, LENGTH), np.int32)
        for first in range(0, count, _CHUNK):
            chunk = slice(first, first + _CHUNK)
            x[chunk] = _reviews(draws, zipf, feeling, y[chunk])
        wrong = draws.below(20, count) == 0
        arrays[f"x_{split}.npy"], arrays[f"y_{split}.npy"] = x, np.where(wrong, 1 - y, y)
    return arrays


def _reviews(
    draws: Draws, zipf: NDArray[np.int64], feeling: NDArray[np.int64], y: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Draw one review for each sentiment in `y`: token ids (n, 150)."""
    count = len(y)
    size = (count, LENGTH)
    uniform = (draws.bits(count * LENGTH) % np.uint64(zipf[-1])).astype(np.int64)
    ranks = 1 + np.searchsorted(zipf, uniform, side="right").reshape(size)
    agrees = draws.below(10, count * LENGTH).reshape(size) < 7
    tone = np.where(agrees, y[:, None], 1 - y[:, None])
    word = draws.below(feeling.shape[1], count * LENGTH).reshape(size)
    ranks = np.where(draws.below(8, count * LENGTH).reshape(size) == 0, feeling[tone, word], ranks)
    ids = ranks + FIRST_WORD
    ids[ids >= VOCABULARY] = UNKNOWN
    words = 20 + draws.below(400, count)  # in the whole review
    ids[words < LENGTH, 0] = START  # of a longer one the beginning is cut off
    return np.where(np.arange(LENGTH) <= words[:, None], ids, 0)


_FORMAT = ArrayFormat(
    x_dtype="int32", x_shape=(LENGTH,), x_values=VOCABULARY, classes=2, train=25_000, test=25_000, padding=0
)
_ARCHIVE = Archive(
    file="imdb.npz",
    base_url="https://storage.googleapis.com/tensorflow/tf-keras-datasets",
    size=17_464_789,
    sha256="69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f",
    read=read,
)
DATASET = LabelledDataset(
    format=_FORMAT,
    archive=_ARCHIVE,
    layouts=(
        Layout(
            name="imdb.npz",
            takes="imdb.npz, the official file",
            recognise=recognise_pickled,
            read=read_pickled,
            known=KnownFile(name=_ARCHIVE.file, sha256=_ARCHIVE.sha256, official=True),
        ),
        npy_arrays.layout(_FORMAT),
        Layout(
            name="aclImdb",
            takes="aclImdb_v1.tar.gz or its folder aclImdb: train/pos/*.txt, train/neg/*.txt, test/pos/*.txt and "
            "test/neg/*.txt",
            recognise=reviews.recognise_folders,
            read=reviews.read_folders,
            known=KnownFile(
                name="aclImdb_v1.tar.gz", sha256="c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe"
            ),
        ),
        Layout(
            name="CSV of review and sentiment",
            takes="a CSV with the columns review and sentiment (positive or negative); the reviews of each sentiment "
            "go to train and test in turns",
            recognise=reviews.recognise_csv,
            read=reviews.read_csv,
        ),
    ),
    synthesise=synthesise,
)
