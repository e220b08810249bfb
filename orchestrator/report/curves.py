"""Events → how a training went over time. Pure.

A run has events about twice a second. A published result has no events, so its curve has one point per epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from orchestrator.record.events import Epoch, Event, Step
from orchestrator.record.figures import EpochFigure, Figures

MAX_POINTS = 200  # of a curve that is drawn: a chart has too few pixels to show more
MAX_KEPT = 20_000  # while reading; above this, every second point is dropped: a stream can be 1 GB


@dataclass(frozen=True, kw_only=True)
class Point:
    """One moment of a training; time and samples count from its beginning, over all epochs."""

    seconds: float
    samples: int
    loss: float  # of the last step before it


Curve = tuple[Point, ...]
Moment = TypeVar("Moment")


def of_events(events: Iterable[Event]) -> Curve:
    """The points of a training: one for each step event and each epoch event."""
    seconds, samples, points = 0.0, 0, []
    for event in events:
        if isinstance(event, Step | Epoch):
            points.append(Point(seconds=seconds + event.seconds, samples=samples + event.samples, loss=event.loss))
            if len(points) > MAX_KEPT:
                points = points[1::2]
        if isinstance(event, Epoch):
            seconds, samples = seconds + event.seconds, samples + event.samples
    return tuple(points)


def of_epochs(epochs: Iterable[EpochFigure]) -> Curve:
    """The ends of all epochs."""
    seconds, samples, points = 0.0, 0, []
    for epoch in epochs:
        seconds, samples = seconds + epoch.seconds, samples + epoch.samples
        points.append(Point(seconds=seconds, samples=samples, loss=epoch.loss))
    return tuple(points)


def scores(figures: Figures) -> list[tuple[float, float]]:
    """(seconds of training so far, accuracy or test loss) after each scored epoch and the last."""
    seconds, moments = 0.0, []
    for epoch in figures.epochs:
        seconds += epoch.seconds
        moments.append((seconds, epoch.score))
    if moments:
        moments[-1] = (seconds, figures.score)  # older results have only this score
    return [(at, score) for at, score in moments if score is not None]


def thin(curve: Sequence[Moment], most: int = MAX_POINTS) -> tuple[Moment, ...]:
    """At most `most` points of a curve, evenly spaced, including the last one."""
    stride = -(-len(curve) // most) or 1
    return tuple(point for index, point in enumerate(curve) if (len(curve) - 1 - index) % stride == 0)


def rates(curve: Curve) -> list[tuple[float, float]]:
    """(seconds, samples per second since the point before), for every point with new samples."""
    found, before = [], Point(seconds=0.0, samples=0, loss=0.0)
    for point in curve:
        if point.seconds > before.seconds and point.samples > before.samples:
            found.append((point.seconds, (point.samples - before.samples) / (point.seconds - before.seconds)))
            before = point
    return found
