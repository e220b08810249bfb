"""The chart of accuracy against training time: how soon a framework learns, and how much. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.record.results import Result
from orchestrator.report import curves
from orchestrator.report.charts import plotting
from orchestrator.report.charts.model import Chart, Grid, Line, extremes
from orchestrator.report.notes import expected
from orchestrator.report.table import Column

MAX_EPOCHS = 50  # points of a curve
MAX_REPEATS = 40  # of a row
EPOCH_MARK, END_MARK = 5, 9  # pixels
SCORED = "Test samples predicted correctly after each epoch; the clock stands still while they are scored."
SCORED_ONCE = "Test samples predicted correctly after the training, at the time it took."

ScoredMoment = tuple[float, float]  # seconds of training so far, accuracy in %
Band = tuple[float, float]  # the lowest and the highest accuracy in % that real data should give


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A row: how its first job learned, and where its repeats ended."""

    line: Line
    curve: Sequence[ScoredMoment]
    ends: Sequence[ScoredMoment]


def chart(name: str, lines: Sequence[Line]) -> Chart:
    """A curve per row, with a mark for each epoch that was scored and a large one for the last."""
    rows = [_scored(line) for line in lines]
    band = _band(lines)
    finals = [(statistics.median(share for _, share in (row.curve[-1], *row.ends)), row.line.label) for row in rows]
    layout = plotting.axes("training time (s)", "test accuracy (%)")
    return Chart(
        id=name,
        kind="lines",
        title="Accuracy against training time",
        caption=_caption(rows, band),
        finding=extremes("final test accuracy", "{:.1f} %", finals),
        figure={
            "data": [trace for row in rows for trace in _traces(row)],
            "layout": {**layout, "shapes": [plotting.shade(y=band)] if band else []},
        },
        numbers=Grid(
            columns=(
                Column(title="DL Library"),
                Column(title="training time (s)", form=",.1f"),
                Column(title="test accuracy (%)", form=".1f"),
            ),
            rows=tuple((row.line.label, *score) for row in rows for score in (*row.curve, *row.ends)),
        ),
    )


def _scored(line: Line) -> Scored:
    first, *others = line.results[:MAX_REPEATS]
    return Scored(line=line, curve=_scores(first), ends=[_scores(each)[-1] for each in others])


def _scores(result: Result) -> list[ScoredMoment]:
    """At least one, the last being that of the end; a long curve is thinned."""
    scores = curves.thin(curves.accuracies(result.figures), MAX_EPOCHS)
    return [(seconds, 100 * share) for seconds, share in scores]


def _band(lines: Sequence[Line]) -> Band | None:
    """The accuracy to be expected where rows agree about it: of several, nobody could tell whose is which."""
    bands = {band for line in lines if (band := expected(line.results[0])) is not None}
    if len(bands) != 1:
        return None
    low, high = bands.pop()
    return 100 * low, 100 * high


def _traces(row: Scored) -> list[dict[str, Any]]:
    told = "{0:,.1f} s, {1:.1f} %"
    sizes = [*[EPOCH_MARK] * (len(row.curve) - 1), END_MARK]
    curve = {**plotting.line(row.line, row.curve, told), "mode": "lines+markers", "marker": {"size": sizes}}
    ends = {**plotting.line(row.line, row.ends, told), "mode": "markers", "marker": {"size": END_MARK}}
    return [curve, ends] if row.ends else [curve]


def _caption(rows: Sequence[Scored], band: Band | None) -> str:
    said = [SCORED if any(len(row.curve) > 1 for row in rows) else SCORED_ONCE]
    if any(row.ends for row in rows):
        said.append("Of several repeats, the curve of the first, and where the others ended.")
    if band:
        said.append("Shaded: the accuracy to be expected, {:.3g} to {:.3g} %.".format(*band))
    return " ".join([*said, "Up and to the left is better."])
