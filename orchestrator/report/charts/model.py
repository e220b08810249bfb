"""What a chart is, and what it is made from."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from orchestrator.record.results import Result
from orchestrator.report.curves import Curve
from orchestrator.report.table import CellValue, Column

HUES = 7  # colours that differ for everybody; the next frameworks get them again, with another mark and line
FORMS = 3


@dataclass(frozen=True, kw_only=True)
class Style:
    """How a framework looks in all charts of a page: a colour, and a mark with its kind of line."""

    hue: int
    form: int


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A plain table of numbers."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[CellValue, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One figure and all that is said about it."""

    id: str
    kind: Literal["bars", "lines", "phases"]  # lines share the key of frameworks; phases have their own
    title: str
    caption: str  # how to read it
    finding: str  # what it shows, for who cannot see it
    figure: Mapping[str, Any]
    numbers: Grid
    key: tuple[tuple[str, int], ...] = ()  # names and colours of the phases


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row of the table as charts see it: only results that ended well."""

    row: int
    label: str
    style: Style
    results: tuple[Result, ...]
    curve: Curve
    published: Mapping[str, float]  # what the reference says: by device, or "seconds"


def style(number: int) -> Style:
    """The style of the framework with this number; they begin again after 21."""
    return Style(hue=number % HUES, form=number // HUES % FORMS)


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """The smallest, the median and the largest of some values, at least one."""
    return min(values), statistics.median(values), max(values)


def extremes(what: str, form: str, values: Sequence[tuple[float, str]]) -> str:
    """Who has the lowest and the highest, in a sentence."""
    if not values:
        return ""
    (low, of_low), (high, of_high) = min(values), max(values)
    if of_low == of_high:
        return f"{of_low}: {what} {form.format(high)}."
    if low == high:
        return f"All have the same {what}, {form.format(high)}."
    return f"{of_low} has the lowest {what}, {form.format(low)}; {of_high} the highest, {form.format(high)}."
