"""The types of charts, and of the rows that they show."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.record.results import Result
from orchestrator.report.charts.drawing import FORMS, HUES, BarFigure, LineFigure, Style
from orchestrator.report.curves import Curve
from orchestrator.report.table import CellValue, Column


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A plain table of numbers."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[CellValue, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One figure with its texts and numbers."""

    id: str
    kind: Literal["bars", "lines", "phases"]  # lines share the key of frameworks; phases have their own
    title: str
    caption: str  # how to read it
    finding: str  # what it shows, for readers who cannot see it
    figure: BarFigure | LineFigure
    numbers: Grid
    key: tuple[tuple[str, int], ...] = ()  # names and looks of the phases


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row of the table for charts: it has only successful results."""

    row: int
    label: str
    style: Style
    results: tuple[Result, ...]
    curve: Curve
    published: Mapping[str, float]  # the figures of the published study: by device, or "seconds"


def style(number: int) -> Style:
    """The style of the framework with this number; styles repeat after 30 frameworks.

    Neighbours differ in the colour and in the mark, so that nobody needs the colour alone.
    """
    return Style(hue=number % HUES, form=number % FORMS)


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """The smallest, the median and the largest of some values, at least one."""
    return min(values), statistics.median(values), max(values)


def extremes(what: str, form: str, values: Sequence[tuple[float, str]]) -> str:
    """A sentence with the lowest and the highest value and their rows. It ranks nothing: that needs repeats."""
    if not values:
        return ""
    (low, of_low), (high, of_high) = min(values), max(values)
    what = what[:1].upper() + what[1:]
    if of_low == of_high:
        return f"{what}: {form.format(high)} ({of_high})."
    if low == high:
        return f"{what}: {form.format(high)} in all rows."
    return f"{what}: {form.format(low)} ({of_low}) to {form.format(high)} ({of_high})."
