"""What a chart draws, and where: values → percent of the plot's width and height. Pure.

The templates write a figure as SVG, with positions in percent: it fits any width, and its text keeps its size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from orchestrator.report import curves

HUES = 5  # colours that differ with any colour vision
FORMS = 6  # marks, each with its kind of line

BAR_ROOM = 78.0  # percent of the width for the longest bar: the text at its end must fit on a phone
MARKS = 10  # points of a line that have a mark: enough to recognise its shape
TICKS = 5  # on an axis, about

# Of a part of a bar: a measured figure, one of a disturbed job, a published one, or the number of a phase.
Look = Literal["measured", "disturbed", "published"] | int
Value = tuple[float, float]  # x and y, in the units of the axes


@dataclass(frozen=True, kw_only=True)
class Style:
    """How a framework looks in all charts of a page: a colour, and a mark with its kind of line."""

    hue: int
    form: int


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a bar; `words` appear under the pointer."""

    value: float
    look: Look
    words: str


@dataclass(frozen=True, kw_only=True)
class Bar:
    """The bar of a row, with a text at its end and the interval of its median."""

    row: int
    label: str
    parts: tuple[Part, ...]
    text: str
    interval: Value | None = None

    @property
    def end(self) -> float:
        """Where bar and interval end, in the unit of the axis."""
        return max(sum(part.value for part in self.parts), *(self.interval or (0.0,)))


@dataclass(frozen=True, kw_only=True)
class BarFigure:
    """Horizontal bars from zero."""

    bars: tuple[Bar, ...]

    def place(self, value: float) -> float:
        """The position of a value, in percent of the width."""
        return _rounded(BAR_ROOM * value / (max(bar.end for bar in self.bars) or 1.0))


@dataclass(frozen=True, kw_only=True)
class Axis:
    """An axis, from its lowest to its highest value."""

    title: str
    low: float
    high: float
    grain: float = 0.0  # the smallest step between two ticks

    def place(self, value: float) -> float:
        """The position of a value, in percent of the axis."""
        return _rounded(100 * (value - self.low) / (self.high - self.low))

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """The positions and texts of a few round values."""
        step = max(_step((self.high - self.low) / TICKS), self.grain)
        decimals = max(0, -math.floor(math.log10(step)))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [(self.place(n * step), f"{n * step:,.{decimals}f}") for n in range(first, last + 1)]


@dataclass(frozen=True, kw_only=True)
class Series:
    """The line of a row. `form` is the format string of a point's words, from x and y."""

    row: int
    label: str
    style: Style
    values: tuple[Value, ...]
    form: str
    joined: bool = True  # whether a line goes through the points; then not all of many points have a mark

    @property
    def marked(self) -> list[tuple[Value, str, bool]]:
        """The points that have a mark, with their words, and whether a point is the last one."""
        chosen = curves.thin(self.values, MARKS) if self.joined else self.values
        ends = {len(chosen) - 1} if self.joined else set(range(len(chosen)))
        return [
            (value, f"{self.label}: {self.form.format(*value)}", place in ends) for place, value in enumerate(chosen)
        ]


@dataclass(frozen=True, kw_only=True)
class Band:
    """A shaded span of one axis over the whole other axis, in the unit of the axis."""

    along: Literal["x", "y"]
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class LineFigure:
    """Lines over two axes."""

    x: Axis
    y: Axis
    series: tuple[Series, ...]
    bands: tuple[Band, ...] = ()
    keyed: bool = False  # whether the chart names its series, which are then no frameworks

    def points(self, series: Series) -> str:
        """The points of an SVG polyline, in percent."""
        return " ".join(f"{self.x.place(x):g},{100 - self.y.place(y):g}" for x, y in series.values)

    def spans(self) -> list[tuple[float, float, float, float]]:
        """x, y, width and height of each band, in percent."""
        found = []
        for band in self.bands:
            axis = self.x if band.along == "x" else self.y
            low, high = (min(100.0, max(0.0, axis.place(value))) for value in (band.low, band.high))
            found.append((low, 0.0, high - low, 100.0) if band.along == "x" else (0.0, 100 - high, 100.0, high - low))
        return found


def axis(title: str, values: Iterable[float], *, from_zero: bool = True) -> Axis:
    """An axis with room for some values: from zero, or from a round value below them, to a round value above them."""
    values = list(values)
    low, high = min(values, default=0.0), max(values, default=1.0)
    if from_zero:
        low = min(0.0, low)
    if high <= low:
        high = low + (abs(low) or 1.0)
    step = _step((high - low) / TICKS)
    return Axis(title=title, low=math.floor(low / step) * step, high=math.ceil(high / step) * step)


def short(value: float) -> str:
    """A number as it is written at a bar: at most six characters up to 99,999."""
    return f"{value:,.1f}" if value < 999.95 else f"{value:,.0f}"


def _step(least: float) -> float:
    """The smallest of 1, 2 or 5 times a power of ten that is at least `least`, which is above 0."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def _rounded(percent: float) -> float:
    """A position to a twentieth of a pixel, for a plot of 500 pixels."""
    return round(percent, 2)
