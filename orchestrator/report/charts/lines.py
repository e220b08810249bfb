"""Charts with a line per row: how a job went over time. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from orchestrator.record.figures import EpochFigure
from orchestrator.report import curves
from orchestrator.report.charts.drawing import LineFigure, Series, Value, axis
from orchestrator.report.charts.model import Chart, Grid, Line, extremes, spread
from orchestrator.report.table import Column

MAX_EPOCHS = 50  # columns of a table of numbers
POINTS_OF_RATE = 40  # with more points, the clock's resolution dominates the rates


def losses(name: str, lines: Sequence[Line]) -> Chart:
    """The training loss, at every point of the curve that is known."""
    drawn = [(line, tuple((point.seconds, point.loss) for point in curves.thin(line.curve))) for line in lines]
    ends = [(line.curve[-1].loss, line.label) for line in lines]
    return Chart(
        id=name,
        kind="lines",
        title="Training loss over time",
        caption=f"Loss of single batches, so it varies strongly; {_grain(lines)}. {_first(lines)}".strip(),
        finding=extremes("loss at the end", "{:.3f}", ends),
        figure=_figure(drawn, "{0:,.1f} s, loss {1:.3f}", "training time (s)", "loss", from_zero=False),
        numbers=_epochs(lines, Column(title="loss", form=".3f"), lambda epoch: epoch.loss),
    )


def throughput(name: str, lines: Sequence[Line], unit: str) -> Chart:
    """Samples per second from point to point of the curve."""
    rates = [(line, tuple(curves.rates(curves.thin(line.curve, POINTS_OF_RATE)))) for line in lines]
    means = [(line.curve[-1].samples / line.curve[-1].seconds, line.label) for line in lines if line.curve[-1].seconds]
    return Chart(
        id=name,
        kind="lines",
        title="Throughput over time",
        caption=f"A flat line means constant throughput; {_grain(lines)}. {_first(lines)}".strip(),
        finding=extremes("average throughput", "{:,.0f} " + unit, means),
        figure=_figure(rates, "{0:,.1f} s, {1:,.0f} " + unit, "training time (s)", unit),
        numbers=_epochs(lines, Column(title=unit, form=",.0f"), lambda epoch: epoch.samples / epoch.seconds),
    )


def batches(name: str, lines: Sequence[Line], unit: str) -> Chart:
    """Inference: every batch of the timed passes."""
    rates = [
        (
            line,
            [
                (float(n), line.results[0].job.settings["batch"] / s)
                for n, s in enumerate(line.results[0].figures.batch_seconds, 1)
                if s
            ],
        )
        for line in lines
    ]
    swings = [(max(y) / min(y), line.label) for line, points in rates if (y := [rate for _, rate in points])]
    drawn = [(line, curves.thin(points)) for line, points in rates]
    figure = _figure(drawn, "batch {0:.0f}, {1:,.1f} " + unit, "batch", unit)
    return Chart(
        id=name,
        kind="lines",
        title="Throughput, batch by batch",
        caption=f"Every batch of the timed passes. A flat line means constant throughput. {_first(lines)}".strip(),
        finding=extremes("ratio of the fastest batch to the slowest", "{:.2f}", swings),
        figure=dataclasses.replace(figure, x=dataclasses.replace(figure.x, grain=1.0)),
        numbers=Grid(
            columns=(
                Column(title="DL Library"),
                Column(title=f"slowest batch ({unit})", form=",.1f"),
                Column(title="median", form=",.1f"),
                Column(title="fastest batch", form=",.1f"),
            ),
            rows=tuple((line.label, *spread([rate for _, rate in points])) for line, points in rates if points),
        ),
    )


def _figure(
    drawn: Sequence[tuple[Line, tuple[Value, ...]]], form: str, x: str, y: str, *, from_zero: bool = True
) -> LineFigure:
    """Lines over the axes `x` and `y`; `form` is the format string of a point's words."""
    values = [value for _, some in drawn for value in some]
    return LineFigure(
        x=axis(x, (at for at, _ in values)),
        y=axis(y, (value for _, value in values), from_zero=from_zero),
        series=tuple(
            Series(row=line.row, label=line.label, style=line.style, values=some, form=form) for line, some in drawn
        ),
    )


def _epochs(lines: Sequence[Line], column: Column, figure: Callable[[EpochFigure], float]) -> Grid:
    """One number per epoch of the job that is drawn, for at most MAX_EPOCHS epochs."""
    drawn = [line.results[0].figures.epochs[:MAX_EPOCHS] for line in lines]
    most = max(map(len, drawn))
    return Grid(
        columns=(
            Column(title="DL Library"),
            *(Column(title=f"epoch {n + 1}: {column.title}", form=column.form) for n in range(most)),
        ),
        rows=tuple(
            (line.label, *map(figure, epochs), *[None] * (most - len(epochs)))
            for line, epochs in zip(lines, drawn, strict=True)
        ),
    )


def _grain(lines: Sequence[Line]) -> str:
    """Where the points of the curves come from, for a caption."""
    rough = all(len(line.curve) <= len(line.results[0].figures.epochs) for line in lines)
    return "one point per epoch, because these results have no events" if rough else "from the job's events"


def _first(lines: Sequence[Line]) -> str:
    return (
        "If a job was repeated, its first successful repeat is drawn."
        if any(len(line.results) > 1 for line in lines)
        else ""
    )
