"""Charts with a bar per row: what was measured, what was published, where the time went. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.judge import comparison, disturbances, stats
from orchestrator.record.results import Result
from orchestrator.report.charts.drawing import Bar, BarFigure, Part, short
from orchestrator.report.charts.model import Chart, Grid, Line, extremes
from orchestrator.report.table import Column

Figure = Callable[[Result], float | None]
PHASES: Mapping[str, Figure] = {
    "load": lambda result: result.figures.load_s,
    "build": lambda result: result.figures.build_s,
    "compile": lambda result: result.figures.compile_s,
    "first epoch": lambda result: next((epoch.seconds for epoch in result.figures.epochs), None),
    "later epochs": lambda result: sum(epoch.seconds for epoch in result.figures.epochs[1:]) or None,
    "score": lambda result: result.figures.score_s,
    "warm-up pass": lambda result: result.figures.cold_s,
    "timed passes": lambda result: result.figures.inference_s,
}
TIMED = {"first epoch", "later epochs", "timed passes"}  # the phases whose times the tables show
REST = "start and stop"
LOOKS = dict(zip(PHASES, (0, 1, 2, 6, 3, 4, 4, 3), strict=True)) | {REST: 5}  # training and inference share looks


@dataclass(frozen=True, kw_only=True)
class BarQuantity:
    """The quantity that the bars of a chart show."""

    figure: Figure
    unit: str
    axis: str
    less_is_better: bool


TIME = BarQuantity(figure=lambda result: result.figures.train_s, unit="s", axis="seconds", less_is_better=True)
RATE = BarQuantity(
    figure=lambda result: result.figures.images_per_s, unit="images/s", axis="images/s", less_is_better=False
)


def measured(name: str, title: str, lines: Sequence[Line], quantity: BarQuantity) -> Chart:
    """A bar per row: the median of its repeats, with its interval."""
    counted = [disturbances.counted(line.results) for line in lines]
    found = [[value for result in some if (value := quantity.figure(result)) is not None] for some in counted]
    rows = [(line, *_interval(values), len(values)) for line, values in zip(lines, found, strict=True)]
    return Chart(
        id=name,
        kind="bars",
        title=title,
        caption=_caption(lines, quantity),
        finding=_finding(title, lines, quantity),
        figure=BarFigure(bars=tuple(_bar(*row, quantity.unit) for row in rows)),
        numbers=Grid(
            columns=(
                Column(title="DL Library"),
                *(Column(title=f"{each} ({quantity.unit})", form=",.1f") for each in ("from", "median", "to")),
                Column(title="repeats", form="d"),
            ),
            rows=tuple((line.label, *numbers) for line, *numbers in rows),
        ),
    )


def _bar(line: Line, low: float, median: float, high: float, repeats: int, unit: str) -> Bar:
    """The bar of a row's median. One of disturbed jobs is marked as in the table."""
    disturbed = disturbances.all_disturbed(line.results)
    words = f"{line.label}: {median:,.1f} {unit}"
    words += f", interval {low:,.1f} to {high:,.1f}, {repeats} repeats" if repeats > 1 else ", one run"
    return Bar(
        row=line.row,
        label=line.label,
        parts=(Part(value=median, look="disturbed" if disturbed else "measured", words=words),),
        text=f"{short(median)} !" if disturbed else short(median),
        interval=(low, high) if repeats > 1 else None,
    )


def _caption(lines: Sequence[Line], quantity: BarQuantity) -> str:
    """How to read the bars: what they are, and what they do not show."""
    better = f"{quantity.axis.capitalize()}; {'shorter' if quantity.less_is_better else 'longer'} is better."
    if max(len(line.results) for line in lines) > 1:
        better += " Bars are medians; the thin lines are the intervals in the table."
    else:
        better += " One run each."
    if any(disturbances.all_disturbed(line.results) for line in lines):
        better += " Dashed, with !: disturbed."
    return better


def published(name: str, source: str, lines: Sequence[Line], key: str, quantity: BarQuantity) -> list[Chart]:
    """The figures that the study published under `key`, in the same order of rows; no chart if it has none."""
    rows = [(line.label, line.published.get(key)) for line in lines]
    known = [(label, value) for label, value in rows if value is not None]
    if not known:
        return []
    study = source.partition(",")[0]
    bars = tuple(
        Bar(
            row=line.row,
            label=line.label,
            parts=(Part(value=value or 0.0, look="published", words=f"{line.label}, {study}: {text}"),),
            text=text,
        )
        for line, (_, value) in zip(lines, rows, strict=True)
        for text in ["–" if value is None else f"{value:,.0f}"]
    )
    return [
        Chart(
            id=name,
            kind="bars",
            title=f"The same rows in {study}",
            caption=f"{quantity.axis.capitalize()}. Published in {source}, with the study's full settings, so not "
            "comparable with the other charts.",
            finding=extremes("published", "{:,.1f} " + quantity.unit, [(value, label) for label, value in known]),
            figure=BarFigure(bars=bars),
            numbers=Grid(
                columns=(Column(title="DL Library"), Column(title=f"published ({quantity.unit})", form=",.0f")),
                rows=tuple(rows),
            ),
        )
    ]


def phases(name: str, lines: Sequence[Line]) -> Chart:
    """How long each phase of a job took: the median of each phase, and the rest."""
    used = [phase for phase, seconds in PHASES.items() if any(seconds(line.results[0]) for line in lines)]
    names, labels = (*used, REST), [line.label for line in lines]
    times = [_times(line, used) for line in lines]
    bars = tuple(
        Bar(
            row=line.row,
            label=line.label,
            parts=tuple(
                Part(value=seconds, look=LOOKS[phase], words=f"{line.label}: {phase} {seconds:,.1f} s")
                for phase, seconds in zip(names, row, strict=True)
            ),
            text=short(sum(row)),
        )
        for line, row in zip(lines, times, strict=True)
    )
    untimed = [sum(t for phase, t in zip(names, row, strict=True) if phase not in TIMED) for row in times]
    return Chart(
        id=name,
        kind="phases",
        title="Where the time went",
        caption=f"Seconds of the whole job, timed on the host; “{REST}” is the container, the interpreter and its "
        "imports.",
        finding=extremes("time outside the timed phases", "{:,.1f} s", list(zip(untimed, labels, strict=True))),
        figure=BarFigure(bars=bars),
        numbers=Grid(
            columns=(Column(title="DL Library"), *(Column(title=f"{phase} (s)", form=",.1f") for phase in names)),
            rows=tuple((label, *row) for label, row in zip(labels, times, strict=True)),
        ),
        key=tuple((phase, LOOKS[phase]) for phase in names),
    )


def _interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The lower end of the interval, the median, the upper end. For a single value, all three are equal."""
    found = stats.summary(values)
    interval = found.interval or stats.Interval(low=found.median, high=found.median)
    return interval.low, found.median, interval.high


def _times(line: Line, used: Sequence[str]) -> list[float]:
    """Seconds of each phase, then of the rest of the job."""
    medians = [statistics.median(PHASES[phase](result) or 0.0 for result in line.results) for phase in used]
    whole = statistics.median(result.seconds for result in line.results)
    return [*medians, max(0.0, whole - sum(medians))]


def _finding(title: str, lines: Sequence[Line], quantity: BarQuantity) -> str:
    """A sentence with the lowest and the highest median. It names a fastest row where `compare` would call it so.

    Rows whose jobs were all disturbed are not ranked.
    """
    quiet = [line for line in lines if not disturbances.all_disturbed(line.results)]
    left_out = [line.label for line in lines if line not in quiet]
    ranked = sorted(quiet or lines, key=lambda line: _median(line, quantity) * (1 if quantity.less_is_better else -1))
    labelled = [(_median(line, quantity), line.label) for line in ranked]
    found = extremes(title, "{:,.1f} " + quantity.unit, labelled)
    if not quiet:
        return f"{found} All were disturbed, so they cannot be ranked."
    first, *others = ranked
    if others and all(comparison.is_slower(other.results, first.results) for other in others):
        found = f"{first.label} is the fastest. {found}"
    elif others and max(len(line.results) for line in lines) == 1:
        found += " One run cannot rank them."
    elif others:
        found += " No row is shown to be the fastest."
    return found + (f" Disturbed, and so not ranked: {', '.join(left_out)}." if left_out else "")


def _median(line: Line, quantity: BarQuantity) -> float:
    """The median of a row that has at least one value."""
    values = (quantity.figure(result) for result in disturbances.counted(line.results))
    return statistics.median(value for value in values if value is not None)
