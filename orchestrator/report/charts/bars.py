"""Charts with a bar per row: what was measured, what was published, where the time went. Pure."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence

from orchestrator.report.charts import plotting
from orchestrator.report.charts.model import Chart, Grid, Line, spread
from orchestrator.report.charts.plotting import text_of
from orchestrator.report.tables import Column
from orchestrator.results import Result

PHASES: Mapping[str, Callable[[Result], float | None]] = {
    "load": lambda result: result.figures.load_s,
    "build": lambda result: result.figures.build_s,
    "compile": lambda result: result.figures.compile_s,
    "train": lambda result: result.figures.train_s,
    "score": lambda result: result.figures.score_s,
    "warm-up pass": lambda result: result.figures.cold_s,
    "timed pass": lambda result: result.figures.inference_s,
}
REST = "start and stop"


def measured(
    name: str,
    title: str,
    unit: str,
    lines: Sequence[Line],
    figure: Callable[[Result], float | None],
    *,
    fastest: Callable[..., tuple[float, str]],
) -> Chart:
    """A bar per row: the median of its repeats, with a whisker from the smallest to the largest."""
    found = [(line, [value for result in line.results if (value := figure(result)) is not None]) for line in lines]
    spreads = [(line, spread(values), len(values)) for line, values in found if values]
    repeated = any(n > 1 for _, _, n in spreads)
    medians = [spread[1] for _, spread, _ in spreads]
    trace = plotting.bar(medians, {"styles": [dataclasses.asdict(line.style) for line, _, _ in spreads]})
    if repeated:
        trace["error_x"] = {
            "array": [high - median for _, (_, median, high), _ in spreads],
            "arrayminus": [median - low for _, (low, median, _), _ in spreads],
            "symmetric": False,
            "thickness": 1.5,
            "width": 4,
        }
    better = "Shorter is better" if fastest is min else "Longer is better"
    whiskers = "; bars are medians, whiskers reach from the smallest to the largest repeat" if repeated else ""
    return Chart(
        id=name,
        kind="bars",
        title=title,
        caption=f"{better}{whiskers}.",
        finding=_finding(medians, [line.label for line, _, _ in spreads], unit, fastest),
        figure=plotting.bars(
            [line.label for line, _, _ in spreads],
            [trace],
            [high for _, (_, _, high), _ in spreads],
            [f"{median:,.1f}" for median in medians],
            unit,
        ),
        numbers=Grid(
            columns=(
                Column(title="DL Library"),
                *(Column(title=f"{what} ({unit})", form=",.1f") for what in ("smallest", "median", "largest")),
                Column(title="repeats", form="d"),
            ),
            rows=tuple((line.label, *spread, n) for line, spread, n in spreads),
        ),
    )


def published(
    name: str, lines: Sequence[Line], key: str, unit: str, published: str, *, fastest: Callable[..., tuple[float, str]]
) -> list[Chart]:
    """What the reference published for the same rows, in the same order."""
    rows = [(line.label, line.published.get(key)) for line in lines]
    known = [(label, value) for label, value in rows if value is not None]
    if not known:
        return []
    figure = plotting.bars(
        [label for label, _ in rows],
        [plotting.bar([value or 0.0 for _, value in rows], {"then": True})],
        [value or 0.0 for _, value in rows],
        ["–" if value is None else f"{value:,.0f}" for _, value in rows],
        unit,
    )
    return [
        Chart(
            id=name,
            kind="bars",
            title=f"The same rows in {published.partition(',')[0]}",
            caption=f"Published in {published}, with the study's full settings. Compare the order, not the lengths.",
            finding=_finding([value for _, value in known], [label for label, _ in known], unit, fastest),
            figure=figure,
            numbers=Grid(
                columns=(Column(title="DL Library"), Column(title=f"published ({unit})", form=",.0f")),
                rows=tuple(rows),
            ),
        )
    ]


def phases(name: str, lines: Sequence[Line]) -> Chart:
    """Where the whole time of a job went."""
    used = [phase for phase, seconds in PHASES.items() if any(seconds(line.results[0]) for line in lines)]
    rows = []
    for line in lines:
        told = [_median_of(line, PHASES[phase]) for phase in used]
        whole = statistics.median(result.seconds for result in line.results)
        rows.append((line.label, [*told, max(0.0, whole - sum(told))]))
    names = (*used, REST)
    labels = [label for label, _ in rows]
    traces = [
        {
            **plotting.bar([times[index] for _, times in rows], {"phase": index}),
            "name": phase,
            "text": [text_of(f"{label}: {phase} {times[index]:,.1f} s") for label, times in rows],
            "hovertemplate": "%{text}<extra></extra>",
            "textposition": "none",
        }
        for index, phase in enumerate(names)
    ]
    totals = [sum(times) for _, times in rows]
    aside = [
        (
            sum(t for phase, t in zip(names, times, strict=True) if phase not in {"train", "timed pass"}),
            label,
            sum(times),
        )
        for label, times in rows
    ]
    most, label, whole = max(aside)
    figure = plotting.bars(labels, traces, totals, [f"{total:,.1f}" for total in totals], "s")
    return Chart(
        id=name,
        kind="phases",
        title="Where the time went",
        caption=f"The whole of a job as the host saw it; “{REST}” is the container, the interpreter and its imports.",
        finding=f"Beside what was timed, {label} needed the most: {most:,.1f} s of {whole:,.1f} s.",
        figure={**figure, "layout": {**figure["layout"], "barmode": "stack"}},
        numbers=Grid(
            columns=(Column(title="DL Library"), *(Column(title=f"{phase} (s)", form=",.1f") for phase in names)),
            rows=tuple((label, *times) for label, times in rows),
        ),
        key=names,
    )


def _finding(
    values: Sequence[float], labels: Sequence[str], unit: str, fastest: Callable[..., tuple[float, str]]
) -> str:
    pairs = list(zip(values, labels, strict=True))
    slowest = max if fastest is min else min
    (best, first), (worst, last) = fastest(pairs), slowest(pairs)
    if len(pairs) == 1:
        return f"{first}: {best:,.1f} {unit}."
    times = max(best, worst) / min(best, worst)
    shown = f"{first} is the fastest with {best:,.1f} {unit}"
    if fastest is min:
        return f"{shown}; {last} takes {times:,.1f} times as long, {worst:,.1f} {unit}."
    return f"{shown}, {times:,.1f} times as many as {last} with {worst:,.1f} {unit}."


def _median_of(line: Line, figure: Callable[[Result], float | None]) -> float:
    return statistics.median(figure(result) or 0.0 for result in line.results)
