"""Charts with a line per row: how a job went over time. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from orchestrator.record.figures import EpochFigure
from orchestrator.report import curves
from orchestrator.report.charts import plotting
from orchestrator.report.charts.model import Chart, Grid, Line, extremes, spread
from orchestrator.report.table import Column

MAX_EPOCHS = 50  # columns of a table of numbers
POINTS_OF_RATE = 40  # with more points, the clock's resolution dominates the rates


def losses(name: str, lines: Sequence[Line]) -> Chart:
    """The training loss, at every point of the curve that is known."""
    traces = [
        plotting.line(
            line,
            [(point.seconds, point.loss) for point in curves.thin(line.curve)],
            "{0:,.1f} s, loss {1:.3f}",
        )
        for line in lines
    ]
    ends = [(line.curve[-1].loss, line.label) for line in lines]
    return Chart(
        id=name,
        kind="lines",
        title="Training loss over time",
        caption=f"Loss of single batches, so it varies strongly; {_grain(lines)}. {_first(lines)}",
        finding=extremes("loss at the end", "{:.3f}", ends),
        figure={"data": traces, "layout": plotting.axes("training time (s)", "loss")},
        numbers=_epochs(lines, Column(title="loss", form=".3f"), lambda epoch: epoch.loss),
    )


def throughput(name: str, lines: Sequence[Line], unit: str) -> Chart:
    """Samples per second from point to point of the curve."""
    rates = [(line, curves.rates(curves.thin(line.curve, POINTS_OF_RATE))) for line in lines]
    means = [(line.curve[-1].samples / line.curve[-1].seconds, line.label) for line in lines if line.curve[-1].seconds]
    return Chart(
        id=name,
        kind="lines",
        title="Throughput over time",
        caption=f"A flat line means constant throughput; {_grain(lines)}. {_first(lines)}",
        finding=extremes("average throughput", "{:,.0f} " + unit, means),
        figure={
            "data": [plotting.line(line, points, "{0:,.1f} s, {1:,.0f} " + unit) for line, points in rates],
            "layout": plotting.axes("training time (s)", unit, from_zero=True),
        },
        numbers=_epochs(lines, Column(title=unit, form=",.0f"), lambda epoch: epoch.samples / epoch.seconds),
    )


def batches(name: str, lines: Sequence[Line], unit: str) -> Chart:
    """Inference: every batch of the timed pass."""
    rates = [
        (
            line,
            [
                (n, line.results[0].job.settings["batch"] / s)
                for n, s in enumerate(line.results[0].figures.batch_seconds, 1)
                if s
            ],
        )
        for line in lines
    ]
    most = max(len(points) for _, points in rates)
    swings = [(max(y) / min(y), line.label) for line, points in rates if (y := [rate for _, rate in points])]
    return Chart(
        id=name,
        kind="lines",
        title="Throughput, batch by batch",
        caption=f"Every batch of the timed pass. A flat line means constant throughput. {_first(lines)}",
        finding=extremes("ratio of the fastest batch to the slowest", "{:.2f}", swings),
        figure={
            "data": [
                plotting.line(line, curves.thin(points), "batch {0:.0f}, {1:,.1f} " + unit) for line, points in rates
            ],
            "layout": plotting.axes("batch", unit, from_zero=True, x_step=-(-most // 10)),
        },
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
