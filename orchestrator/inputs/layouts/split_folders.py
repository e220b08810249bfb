"""Samples as files in folders that are named by split and label: train/cat/0001.png, test/pos/12_7.txt."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.inputs.array_format import SPLITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.inputs.layouts.file_tree import FileTree


class Sample(NamedTuple):
    """One file."""

    file: str
    split: str
    label: str


def pattern(label: str, ending: str) -> re.Pattern[str]:
    """The form of a sample's name; `label` and `ending` are regular expressions."""
    return re.compile(
        rf"(?P<root>(?:.*/)?)(?P<split>{'|'.join(SPLITS)})/(?P<label>{label})/[^/]+\.(?i:{ending})", re.DOTALL
    )


def recognise(tree: FileTree, form: re.Pattern[str]) -> bool:
    """Whether a file of the tree is called like a sample."""
    return any(form.fullmatch(name) for name in tree.sizes)


def samples(tree: FileTree, form: re.Pattern[str]) -> list[Sample]:
    """Return all samples of a split, one label after the other in turns, each label by name.

    So the order does not depend on whether a folder or an archive was read. Raises ValueError when a split is missing,
    or when there are several copies in the tree.
    """
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    roots = set()
    for name in sorted(tree.sizes):
        if match := form.fullmatch(name):
            roots.add(match["root"])
            found[match["split"], match["label"]].append(name)
    if len(roots) > 1:
        first, second = sorted(roots)[:2]
        raise ValueError(f"{tree.path} has several copies of the data: {first or './'} and {second}")
    if missing := set(SPLITS) - {split for split, _ in found}:
        raise ValueError(f"{tree.at(min(roots) + min(missing))} is missing, or holds no samples")
    ordered: list[tuple[str, int, str, str]] = [
        (split, number, label, name) for (split, label), names in found.items() for number, name in enumerate(names)
    ]
    return [Sample(name, split, label) for split, _, label, name in sorted(ordered)]


def labels_of(chosen: Sequence[Sample]) -> list[str]:
    """Return the labels in alphabetical order."""
    return sorted({sample.label for sample in chosen})
