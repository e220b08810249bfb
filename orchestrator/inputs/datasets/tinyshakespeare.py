"""Tiny Shakespeare: 1.1 million characters of plays, predicted character by character."""

from __future__ import annotations

import itertools
import string
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.inputs import archives
from orchestrator.inputs.dataset import Archive, KnownFile, LabelledDataset, Layout
from orchestrator.inputs.draws import Draws
from orchestrator.inputs.text_format import TextFormat

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orchestrator.inputs.dataset import Arrays

# The 65 characters of the text, by code point; a character's id is its place.
CHARACTERS = "\n !$&',-.3:;?" + string.ascii_uppercase + string.ascii_lowercase

_WORDS = 500  # of the stand-in's language
_SYLLABLES = [consonant + vowel for consonant in "bcdfghjklmnprstvwz" for vowel in "aeiou"]
_ENDS = (". ", ".\n", "? ", "! ", "; ")
_CHUNK = 4096  # numbers drawn at a time


def read(path: Path) -> Arrays:
    """Read input.txt: the first nine tenths for training, the rest for the test. Raises DataError."""
    with archives.reading(path):
        return _FORMAT.ids_of(path.read_bytes())


def synthesise(seed: int, train: int, test: int) -> Arrays:
    """Make a text of sentences in a language of 500 words: text uint8 (n,) for each split.

    Words follow Zipf's law. Half of the time a word is followed by the one word that belongs to it. So a model learns
    spelling first, then frequent words, then which words belong together.
    """
    draws = Draws("synthetic tinyshakespeare", seed, "words")
    words = ["".join(_SYLLABLES[i] for i in draws.below(len(_SYLLABLES), 1 + n)) for n in draws.below(4, _WORDS)]
    follower = draws.permutation(_WORDS).tolist()
    codes = {character: code for code, character in enumerate(CHARACTERS)}
    arrays: Arrays = {}
    for split, count in (("train", train), ("test", test)):
        text: list[str] = []
        length = 0
        sentences = _sentences(Draws("synthetic tinyshakespeare", seed, split), words, follower)
        while length < count:
            text.append(next(sentences))
            length += len(text[-1])
        ids = [codes[character] for character in "".join(text)[:count]]
        arrays[f"text_{split}.npy"] = np.array(ids, np.uint8)
    return arrays


def _sentences(draws: Draws, words: list[str], follower: list[int]) -> Iterator[str]:
    """Yield sentences of three to ten words, without end."""
    # Integers only: the cumulative Zipf weights 2**20 / rank, in which a uniform draw is then looked up.
    zipf = np.cumsum((1 << 20) // np.arange(1, _WORDS + 1, dtype=np.int64))
    numbers = itertools.chain.from_iterable(
        zip(
            np.searchsorted(zipf, draws.below(int(zipf[-1]), _CHUNK), side="right").tolist(),
            draws.below(2, _CHUNK).tolist(),
            draws.below(8, _CHUNK).tolist(),
            strict=True,
        )
        for _ in itertools.count()
    )
    word, _, _ = next(numbers)
    while True:
        _, _, size = next(numbers)
        chosen = []
        for _ in range(3 + size):
            other, follows, _ = next(numbers)
            word = follower[word] if follows else other
            chosen.append(words[word])
        yield " ".join(chosen).capitalize() + _ENDS[size % len(_ENDS)]


_FORMAT = TextFormat(characters=CHARACTERS, train=1_003_854, test=111_540)
_ARCHIVE = Archive(
    file="input.txt",
    base_url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare",
    size=1_115_394,
    sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    read=read,
)
DATASET = LabelledDataset(
    format=_FORMAT,
    archive=_ARCHIVE,
    layouts=(
        Layout(
            name="text",
            takes="input.txt, the official file, or another text file with no other characters than its 65; the first "
            "nine tenths go to train",
            recognise=_FORMAT.recognise,
            read=_FORMAT.read,
            known=KnownFile(name=_ARCHIVE.file, sha256=_ARCHIVE.sha256, official=True),
        ),
    ),
    synthesise=synthesise,
)
