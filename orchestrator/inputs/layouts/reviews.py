"""Film reviews as text: the folders of aclImdb, and a CSV of review and sentiment. Both become token ids.

Words are made lower case and lose their punctuation. They are ranked by their frequency in train and test together;
of equally frequent ones the first in the alphabet ranks higher.
"""

from __future__ import annotations

import csv
import io
import re
from array import array
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from orchestrator import activity
from orchestrator.inputs.array_format import SPLITS
from orchestrator.inputs.dataset import Reading
from orchestrator.inputs.layouts import split_folders

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from orchestrator.inputs.layouts.file_tree import FileTree

LENGTH, VOCABULARY = 150, 30_000
START, UNKNOWN, FIRST_WORD = 1, 2, 3  # ids; the most frequent word has rank 1, so its id is 4

_FORM = split_folders.pattern("pos|neg", "txt")
_NOT_A_WORD = re.compile(r"[^a-z0-9' ]+")
_SENTIMENTS = {"positive": 1, "pos": 1, "1": 1, "negative": 0, "neg": 0, "0": 0}
_LARGEST_REVIEW = 1 << 20  # bytes; the longest one in IMDB has 14,000
_LARGEST_TEXT = 1 << 28  # bytes of all reviews; IMDB has 66 MB
_MOST_WORDS = 5_000_000  # different ones; IMDB has 160,000
_MOST_TABLES = 20  # CSV files of a folder whose first line is looked at


def token_ids(reviews: Sequence[Sequence[int]]) -> NDArray[np.int32]:
    """Turn the ranks of each review's words into ids: int32 (n, 150).

    They are those of keras.datasets.imdb.load_data(num_words=30000) with its defaults: a 1 before the first word,
    rank + 3, and 2 where that is 30,000 or more. The last 150 ids are kept, and shorter reviews padded with 0 at the
    end.
    """
    ids = np.zeros((len(reviews), LENGTH), np.int32)
    for row, review in zip(ids, reviews, strict=True):
        words = np.asarray(review[-LENGTH:], np.int64) + FIRST_WORD
        words[words >= VOCABULARY] = UNKNOWN
        if len(words) < LENGTH:
            words = np.concatenate([[START], words])
        row[: len(words)] = words
    return ids


def recognise_folders(tree: FileTree) -> bool:
    """Whether it has files such as train/pos/0_9.txt."""
    return split_folders.recognise(tree, _FORM)


def read_folders(tree: FileTree) -> Reading:
    """Read aclImdb; its reviews without a label (train/unsup) are left out. Raises ValueError."""
    chosen = split_folders.samples(tree, _FORM)
    for sample in chosen:
        if tree.sizes[sample.file] > _LARGEST_REVIEW:
            raise ValueError(f"{tree.at(sample.file)} has {tree.sizes[sample.file]:,} bytes: too many for a review")
    _check_text(sum(tree.sizes[sample.file] for sample in chosen), str(tree.path))
    words = _Words()
    reviews = {}
    for name, data in activity.counted(
        tree.read([sample.file for sample in chosen]), "reading reviews", len(chosen), "reviews"
    ):
        reviews[name] = words.kept(data.decode("utf-8", "replace"))
    rows = [(sample.split, reviews[sample.file], int(sample.label == "pos")) for sample in chosen]
    return _encoded(words, rows)


def recognise_csv(tree: FileTree) -> bool:
    """Whether it is or has a CSV with the columns review and sentiment."""
    return _table(tree) is not None


def read_csv(tree: FileTree) -> Reading:
    """Read a CSV and split it, because it does not say which reviews are for training. Raises ValueError.

    The reviews of each sentiment go to train and test in turns, in the order of the file: to the split that has fewer.
    A review that comes again goes where it went before, so that no text is in both.
    """
    table = _table(tree)
    if table is None:
        raise ValueError(f"{tree.path} has no CSV with the columns review and sentiment")
    _check_text(tree.sizes[table], tree.at(table))
    ((_, data),) = tree.read([table])
    words = _Words()
    counts = Counter[tuple[int, str]]()
    seen: dict[str, str] = {}
    rows = []
    for text, label in activity.counted(_rows(data, tree.at(table)), "reading reviews", 50_000, "reviews"):
        split = seen.setdefault(text, min(SPLITS, key=lambda split: counts[label, split]))
        counts[label, split] += 1
        rows.append((split, words.kept(text), label))
    repeated = len(rows) - len(seen)
    note = "a CSV has no test set: the reviews of each sentiment were put into train and test in turns"
    again = (f"{repeated:,} of {len(rows):,} reviews occur more than once in it",) if repeated else ()
    return _encoded(words, rows, (note, *again))


class _Words:
    """Counts the words of all reviews, and keeps the last ones of each."""

    def __init__(self) -> None:
        self._counts = Counter[str]()
        self._numbers: dict[str, int] = {}  # in the order of appearance

    def kept(self, text: str) -> array[int]:
        """Count the words of a review; return the numbers of the last 150."""
        words = _NOT_A_WORD.sub(" ", text.lower().replace("<br />", " ")).split()
        self._counts.update(words)
        if len(self._counts) > _MOST_WORDS:
            raise ValueError(f"there are more than {_MOST_WORDS:,} different words: this is not text")
        numbers = self._numbers
        return array("i", [numbers.setdefault(word, len(numbers)) for word in words[-LENGTH:]])

    def ranks(self) -> NDArray[np.int64]:
        """Return the rank of each number: 1 is the most frequent word."""
        ordered = sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))
        ranks = np.zeros(len(self._numbers), np.int64)
        for rank, (word, _) in enumerate(ordered, start=1):
            if (number := self._numbers.get(word)) is not None:
                ranks[number] = rank
        return ranks


def _encoded(words: _Words, rows: list[tuple[str, array[int], int]], notes: tuple[str, ...] = ()) -> Reading:
    """Turn rows of (split, numbers of words, label) into arrays: x int32 (n, 150), y int32 (n,)."""
    ranks = words.ranks()
    arrays = {}
    for split in SPLITS:
        chosen = [(numbers, label) for where, numbers, label in rows if where == split]
        arrays[f"x_{split}.npy"] = token_ids([ranks[np.asarray(numbers)] for numbers, _ in chosen])
        arrays[f"y_{split}.npy"] = np.array([label for _, label in chosen], np.int32)
    return Reading(arrays, notes)


def _check_text(size: int, where: str) -> None:
    if size > _LARGEST_TEXT:
        raise ValueError(f"{where} has {size:,} bytes of text, wanted at most {_LARGEST_TEXT:,}")


def _table(tree: FileTree) -> str | None:
    """Return the name of a CSV whose first line names the two columns."""
    tables = [name for name in sorted(tree.sizes) if tree.kind == "file" or name.lower().endswith(".csv")]
    for name in tables[:_MOST_TABLES]:
        first = tree.head(name, 4096).decode("utf-8-sig", "replace").partition("\n")[0]
        if {"review", "sentiment"} <= {column.strip().strip('"').lower() for column in first.split(",")}:
            return name
    return None


def _rows(data: bytes, where: str) -> Iterator[tuple[str, int]]:
    """Yield review and label of each row."""
    if b"\0" in data:
        raise ValueError(f"{where} holds bytes that are not text")
    reader = csv.DictReader(io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", "replace", newline=""))
    reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
    try:
        for row in reader:
            text, sentiment = row.get("review"), row.get("sentiment")
            label = _SENTIMENTS.get((sentiment or "").strip().lower())
            if text is None or label is None:
                raise ValueError(f"line {reader.line_num:,} has the sentiment {sentiment!r:.60}")  # noqa: TRY301
            yield text, label
    except (csv.Error, ValueError) as error:
        raise ValueError(f"{where}: {error}; wanted are rows of review and sentiment (positive or negative)") from error
