"""Chooses the columns of a table, and their widths, for the width of a terminal. Pure.

No name and no figure is cut or broken within a word. What does not fit is left out, a whole column at a time.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from orchestrator.report.table import PUBLISHED, Column
from orchestrator.text import plain

GAP = 2  # columns of the terminal between two columns of the table
ARROWS = {"": "", "ascending": "▲", "descending": "▼"}


@dataclass(frozen=True, kw_only=True)
class FittedTable:
    """The part of a table that fits: columns, their titles and widths, the rows; and the titles of what does not."""

    columns: tuple[Column, ...]
    heads: tuple[str, ...]
    widths: tuple[int, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """How a table is made narrower."""

    rank: int = 0  # columns up to this rank are left out
    short: bool = False  # whether titles are short
    split: bool = False  # whether a median and its interval are on two lines


def fitted(heads: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> FittedTable | None:
    """The widest layout that fits into `width` columns; None if even the narrowest does not."""
    for layout in _layouts(heads):
        found = _laid_out(heads, rows, layout, width)
        if found is not None:
            return found
    return None


def _layouts(heads: Sequence[Column]) -> Iterator[_Layout]:
    """Layouts, from the widest to the narrowest. The figures of published studies go first."""
    yield _Layout()
    yield _Layout(rank=PUBLISHED)
    yield _Layout(rank=PUBLISHED, short=True)
    ranks = sorted({column.rank for column in heads if column.rank is not None} | {PUBLISHED})
    for rank in ranks:
        yield _Layout(rank=rank, short=True, split=True)


def _laid_out(
    heads: Sequence[Column], rows: Sequence[Sequence[str]], layout: _Layout, width: int
) -> FittedTable | None:
    kept = [place for place, column in enumerate(heads) if column.rank is None or column.rank > layout.rank]
    columns = [heads[place] for place in kept]
    titles = [plain((layout.short and column.short) or column.title) + ARROWS[column.sorts] for column in columns]
    texts = [[row[place].replace(" ± ", "\n± ") if layout.split else row[place] for place in kept] for row in rows]
    least = [
        max(map(cell_len, itertools.chain(title.split(), _unbreakable(column, [row[place] for row in texts]))))
        for place, (column, title) in enumerate(zip(columns, titles, strict=True))
    ]
    room = width - GAP * (len(columns) - 1)
    if sum(least) > room:
        return None
    bodies = [max(cell_len(line) for row in texts for line in row[place].split("\n")) for place in range(len(columns))]
    widths = _widened(_widened(least, bodies, room), list(map(cell_len, titles)), room)
    return FittedTable(
        columns=tuple(columns),
        heads=tuple(titles),
        widths=tuple(widths),
        rows=tuple(map(tuple, texts)),
        left_out=tuple(plain(column.title) for place, column in enumerate(heads) if place not in kept),
    )


def _widened(widths: Sequence[int], wanted: Sequence[int], room: int) -> list[int]:
    """The widths, each as far towards the wanted one as there is room, from the first to the last."""
    spare = room - sum(widths)
    found = []
    for width, goal in zip(widths, wanted, strict=True):
        more = min(spare, max(0, goal - width))
        found.append(width + more)
        spare -= more
    return found


def _unbreakable(column: Column, cells: Sequence[str]) -> Iterator[str]:
    """The parts of cells that stay on one line: the lines of figures, the words of text."""
    for cell in cells:
        yield from cell.split("\n") if column.form else cell.split()
