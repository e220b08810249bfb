"""The tables that all formats of a report show: columns, cells, and how values are written. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

from orchestrator.record.results import Result
from orchestrator.report.certified import LegendLine, Mark


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A figure that was measured `n` times, n > 1: the median, and the interval that stats.summary computes."""

    median: float
    low: float
    high: float
    n: int

    def __float__(self) -> float:
        return self.median

    def show(self, form: str) -> str:
        """The median, half the interval's width, and n."""
        half = (self.high - self.low) / 2
        return f"{self.median:{form}} ± {half:{form if half >= 1 else '.2f'}} (n={self.n})"


@dataclass(frozen=True, kw_only=True)
class Doubtful:
    """A measured figure that must not be trusted; the notes explain why. Shown with an exclamation mark."""

    doubtful: float | Measurement

    def __float__(self) -> float:
        return float(self.doubtful)

    def show(self, form: str) -> str:
        """The figure and the mark."""
        return f"{Column(title='', form=form).show(self.doubtful)} !"


T = TypeVar("T")
CellValue = str | float | Measurement | Doubtful | None


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column and how its numbers are written (a format specification; "" for text).

    Narrow terminals show its short title, and leave out the columns with the lowest `rank` first; those without a rank
    always stay.
    """

    title: str
    form: str = ""
    short: str = ""
    rank: int | None = None
    sorts: Literal["", "ascending", "descending"] = ""  # whether the rows are in the order of this column

    def show(self, cell: CellValue) -> str:
        """A cell as text; a dash for an empty cell."""
        if cell is None:
            return "–"
        if isinstance(cell, Measurement | Doubtful):
            return cell.show(self.form)
        return format(cell, self.form) if isinstance(cell, int | float) and self.form else str(cell)


MARKS = Column(title="Verified", short="Verif.")
PUBLISHED = 1  # the rank of columns with figures of a published study; other columns have a higher one


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table as all formats show it."""

    title: str
    conditions: tuple[str, ...]  # what holds for all rows, in words
    columns: tuple[Column, ...]
    rows: tuple[tuple[CellValue, ...], ...]
    results: tuple[tuple[Result, ...], ...]  # the results of each row
    notes: tuple[str, ...]
    marks: tuple[Mark | None, ...]  # the verdict of certificates on each row
    legend: tuple[LegendLine, ...] = ()  # explains the marks

    @property
    def marked(self) -> bool:
        """Whether a row has a mark. Then the marks are shown in a column of their own, after the measured figures.

        A column of their own, because a title is text from a result, and could end with something like a mark.
        """
        return any(self.marks)

    @property
    def heads(self) -> tuple[Column, ...]:
        """The columns as they are shown."""
        return self._with_mark(self.columns, MARKS)

    def texts(self, show: Callable[[str], str] = str) -> Iterator[tuple[str, ...]]:
        """The rows as they are shown, a cell for each of `heads`. `show` makes text from results safe."""
        for row, mark in zip(self.rows, self.marks, strict=True):
            cells = tuple(show(column.show(cell)) for column, cell in zip(self.columns, row, strict=True))
            yield self._with_mark(cells, mark.text(show) if mark else "")

    def _with_mark(self, cells: tuple[T, ...], mark: T) -> tuple[T, ...]:
        """The cells of a row, with its mark in its place: before the columns that narrow terminals leave out."""
        if not self.marked:
            return cells
        numbers = (place for place, column in enumerate(self.columns) if column.form and column.rank is None)
        place = max(numbers, default=0) + 1
        return (*cells[:place], mark, *cells[place:])
