"""The chart of the test score against training time: how fast a framework learns, and how well. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchestrator.plan.workload import Scoring
from orchestrator.record.results import Result
from orchestrator.report import curves
from orchestrator.report.charts.drawing import Band, LineFigure, Series, axis
from orchestrator.report.charts.model import Chart, Grid, Line, extremes
from orchestrator.report.notes import expected
from orchestrator.report.table import Column

MAX_EPOCHS = 50  # points of a curve
MAX_REPEATS = 40  # of a row
SCORED = "The {} after each epoch; the time for scoring the test samples is not counted."
SCORED_ONCE = "The {} after the training, drawn at the training time."

ScoredMoment = tuple[float, float]  # seconds of training so far, score as it is shown
ShownBand = tuple[float, float]  # the lowest and the highest score that real data should give, as it is shown


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A row: the curve of its first job, and the final scores of its other repeats."""

    line: Line
    curve: Sequence[ScoredMoment]
    ends: Sequence[ScoredMoment]


def chart(name: str, lines: Sequence[Line], scoring: Scoring) -> Chart:
    """A curve per row, with a mark for each epoch that was scored and a large one for the last."""
    rows = [_scored(line, scoring) for line in lines]
    band = _band(lines, scoring)
    finals = [(statistics.median(score for _, score in (row.curve[-1], *row.ends)), row.line.label) for row in rows]
    return Chart(
        id=name,
        kind="lines",
        title=f"{scoring.name.capitalize()} against training time"
        if scoring.counted
        else "Test loss against training time",
        caption=_caption(rows, band, scoring),
        finding=extremes(f"final test {scoring.name}", f"{{:{scoring.form}}} {scoring.unit}", finals),
        figure=_figure(rows, band, scoring),
        numbers=_numbers(rows, scoring),
    )


def _numbers(rows: Sequence[Scored], scoring: Scoring) -> Grid:
    return Grid(
        columns=(
            Column(title="DL Library"),
            Column(title="training time (s)", form=",.1f"),
            Column(title=f"test {scoring.name} ({scoring.unit})", form=scoring.form),
        ),
        rows=tuple((row.line.label, *moment) for row in rows for moment in (*row.curve, *row.ends)),
    )


def _scored(line: Line, scoring: Scoring) -> Scored:
    first, *others = line.results[:MAX_REPEATS]
    return Scored(line=line, curve=_moments(first, scoring), ends=[_moments(each, scoring)[-1] for each in others])


def _moments(result: Result, scoring: Scoring) -> list[ScoredMoment]:
    """The scores of a job over time, at least one. The last is the final score; a long curve is thinned."""
    moments = curves.thin(curves.scores(result.figures), MAX_EPOCHS)
    return [(seconds, scoring.shown(score)) for seconds, score in moments]


def _band(lines: Sequence[Line], scoring: Scoring) -> ShownBand | None:
    """The expected range, unless rows have different ones: the chart could not show which row has which range."""
    bands = {band for line in lines if (band := expected(line.results[0])) is not None}
    if len(bands) != 1:
        return None
    low, high = bands.pop()
    return scoring.shown(low), scoring.shown(high)


def _figure(rows: Sequence[Scored], band: ShownBand | None, scoring: Scoring) -> LineFigure:
    values = [moment for row in rows for moment in (*row.curve, *row.ends)]
    return LineFigure(
        x=axis("training time (s)", (seconds for seconds, _ in values)),
        y=axis(
            f"test {scoring.name} ({scoring.unit})", [*(score for _, score in values), *(band or ())], from_zero=False
        ),
        series=tuple(series for row in rows for series in _series(row, scoring)),
        bands=(Band(along="y", low=band[0], high=band[1]),) if band else (),
    )


def _series(row: Scored, scoring: Scoring) -> list[Series]:
    """The curve of a row, and the ends of its other repeats."""
    line, form = row.line, "{0:,.1f} s, {1:" + scoring.form + "} " + scoring.unit
    curve = Series(row=line.row, label=line.label, style=line.style, values=tuple(row.curve), form=form)
    return [curve, replace(curve, values=tuple(row.ends), joined=False)] if row.ends else [curve]


def _caption(rows: Sequence[Scored], band: ShownBand | None, scoring: Scoring) -> str:
    what = "share of test samples predicted correctly" if scoring.counted else "mean loss of all test samples"
    sentences = [(SCORED if any(len(row.curve) > 1 for row in rows) else SCORED_ONCE).format(what)]
    if any(row.ends for row in rows):
        sentences.append(
            "If a job was repeated: the curve of the first successful repeat, and the final scores of the others."
        )
    if band:
        low, high = band
        sentences.append(f"Shaded: the expected {scoring.name}, {low:.3g} to {high:.3g} {scoring.unit}.")
    return " ".join([*sentences, f"{'Up' if scoring.higher_is_better else 'Down'} and to the left is better."])
