"""Charts of what one job used while it ran: its GPUs if it had any, else CPUs and main memory. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.record.usage import Points, UsageCurves
from orchestrator.report.charts.drawing import Band, LineFigure, Series, axis
from orchestrator.report.charts.model import Chart, Grid, style
from orchestrator.report.table import Column

GIB = 2.0**30  # bytes


@dataclass(frozen=True, kw_only=True)
class UsageQuantity:
    """A quantity that was sampled; each has one chart."""

    id: str
    title: str
    unit: str
    caption: str
    scale: float = 1.0  # samples are divided by this


OF_GPUS = (
    UsageQuantity(
        id="utilisation", title="GPU utilisation", unit="%", caption="Share of the time in which a kernel ran"
    ),
    UsageQuantity(id="power", title="GPU power", unit="W", caption="Power that the card used"),
    UsageQuantity(id="memory", title="GPU memory", unit="GiB", caption="In use on the card by all programs", scale=GIB),
)
CPUS = UsageQuantity(id="cpus", title="CPUs in use", unit="CPUs", caption="CPU seconds of the job per second")
MEMORY = UsageQuantity(id="host", title="Main memory", unit="GiB", caption="Of the job", scale=GIB)


def of(name: str, used: UsageCurves) -> list[Chart]:
    """The charts of one job: of its GPUs if they were sampled, else of the host. Chart ids begin with `name`."""
    cards = [
        (
            quantity,
            [(f"GPU {place}", points) for place, card in enumerate(used.gpus) if (points := card.get(quantity.id))],
        )
        for quantity in OF_GPUS
    ]
    host = [(CPUS, [("job", used.cpus)] if used.cpus else []), (MEMORY, [("job", used.memory)] if used.memory else [])]
    chosen = cards if any(lines for _, lines in cards) else host
    return [_chart(f"{name}-{quantity.id}", quantity, lines, used.timed) for quantity, lines in chosen if lines]


def _chart(
    name: str, quantity: UsageQuantity, lines: Sequence[tuple[str, Points]], timed: Sequence[tuple[float, float]]
) -> Chart:
    alone = len(lines) == 1
    scaled = [(label, [(t, value / quantity.scale) for t, value in points]) for label, points in lines]
    numbers = [(label, *_spread([value for _, value in points])) for label, points in scaled]
    return Chart(
        id=name,
        kind="lines",
        title=quantity.title,
        caption=f"{quantity.caption}; shaded: the timed part." if timed else f"{quantity.caption}.",
        finding=" ".join(_sentence(label, quantity, numbers_, alone=alone) for label, *numbers_ in numbers),
        figure=LineFigure(
            x=axis("seconds since the job began", (t for _, points in scaled for t, _ in points)),
            y=axis(quantity.unit, (value for _, points in scaled for _, value in points)),
            series=tuple(_series(place, label, points, quantity) for place, (label, points) in enumerate(scaled)),
            bands=tuple(Band(along="x", low=low, high=high) for low, high in timed),
            keyed=not alone,
        ),
        numbers=Grid(
            columns=(
                Column(title=""),
                *(Column(title=f"{word} ({quantity.unit})", form=",.2f") for word in ("least", "mean", "most")),
            ),
            rows=tuple(numbers),
        ),
    )


def _series(place: int, label: str, points: Sequence[tuple[float, float]], quantity: UsageQuantity) -> Series:
    form = "{0:,.1f} s, {1:,.2f} " + quantity.unit
    return Series(row=place, label=label, style=style(place), values=tuple(points), form=form)


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    return min(values), math.fsum(values) / len(values), max(values)


def _sentence(label: str, quantity: UsageQuantity, numbers: Sequence[float], *, alone: bool) -> str:
    least, mean, most = numbers
    prefix = "" if alone else f"{label}: "
    return f"{prefix}{least:,.1f} to {most:,.1f} {quantity.unit}, {mean:,.1f} on average."
