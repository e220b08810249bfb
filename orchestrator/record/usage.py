"""Reads <job>.telemetry.jsonl: what a job used over time, in few points. Pure.

The file is untrusted. Values that are not numbers are left out, and the number of points is bounded.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from orchestrator.host.samples import MAX_SAMPLES
from orchestrator.record.figures import Amount
from orchestrator.strict import Strict

MAX_POINTS = 150  # of a curve: about as many as the pixels of a phone show
MAX_GPUS = 8  # lines in one chart
MAX_SPANS = 20  # of the timed part
MAX_SECONDS = 1e8  # three years; larger values are not valid
MAX_VALUE = 1e18  # an exabyte
MIN_STEP = 1e-3  # seconds; two readings of a counter closer than this give no useful rate
GPU_QUANTITIES = ("utilisation", "power", "memory")

Points = Annotated[tuple[tuple[Amount, Amount], ...], Field(max_length=MAX_POINTS)]  # (seconds since the job began, …)

GpuCurves = Annotated[dict[str, Points], Field(max_length=len(GPU_QUANTITIES))]


class UsageCurves(Strict):
    """What a job used over time. `timed` are the spans of its timed part; GPU quantities are those of samples."""

    timed: Annotated[tuple[tuple[Amount, Amount], ...], Field(max_length=MAX_SPANS)]
    gpus: Annotated[tuple[GpuCurves, ...], Field(max_length=MAX_GPUS)]
    cpus: Points  # CPU seconds per second
    memory: Points  # bytes


@dataclass(kw_only=True)
class _Curves:
    """All points, before there are too many."""

    gpus: list[dict[str, list[tuple[float, float]]]] = field(default_factory=list)
    cpu_seconds: list[tuple[float, float]] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)


def of_lines(lines: Iterable[bytes]) -> UsageCurves | None:
    """The curves in the lines of a file, up to the first invalid line; None without a single point."""
    curves, before = _Curves(), 0.0
    timed: tuple[tuple[float, float], ...] = ()
    for number, document in enumerate(_documents(lines)):
        if number == 0:
            timed = _spans(document.get("timed"))
            continue
        t = _number(document.get("t"), MAX_SECONDS)
        if t is None or t < before:
            break
        before = t
        _take(curves, t, document)
        if number >= MAX_SAMPLES:
            break
    gpus = tuple(
        {name: _thin(points, max if name == "memory" else _mean) for name, points in each.items()}
        for each in curves.gpus
    )
    cpus, memory = _rates(_thin(curves.cpu_seconds, max)), _thin(curves.memory, max)
    if not cpus and not memory and not any(gpus):
        return None
    return UsageCurves(timed=timed, gpus=gpus, cpus=cpus, memory=memory)


def _documents(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            document = json.loads(line)
        except (ValueError, RecursionError):
            return
        if not isinstance(document, dict):
            return
        yield document


def _take(curves: _Curves, t: float, sample: Mapping[str, Any]) -> None:
    """Add the values of one sample."""
    for points, name in ((curves.cpu_seconds, "cpu_seconds"), (curves.memory, "memory")):
        if (value := _number(sample.get(name), MAX_VALUE)) is not None:
            points.append((t, value))
    readings = sample.get("gpus")
    for place, reading in enumerate(readings[:MAX_GPUS] if isinstance(readings, list) else ()):
        if place == len(curves.gpus):
            curves.gpus.append({})
        for name in GPU_QUANTITIES if isinstance(reading, dict) else ():
            if (value := _number(reading.get(name), MAX_VALUE)) is not None:
                curves.gpus[place].setdefault(name, []).append((t, value))


def _spans(value: object) -> tuple[tuple[float, float], ...]:
    """The spans of the timed part. Too many are replaced by one, from the first to the last."""
    found = []
    for each in value if isinstance(value, list) else ():
        ends = [_number(end, MAX_SECONDS) for end in each[:2]] if isinstance(each, list) else []
        if len(ends) == 2 and ends[0] is not None and ends[1] is not None and ends[0] <= ends[1]:
            found.append((ends[0], ends[1]))
    return tuple(found) if len(found) <= MAX_SPANS else ((found[0][0], found[-1][1]),)


def _number(value: object, most: float) -> float | None:
    """A number from 0 to `most`, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        return None
    return float(value)


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def _thin(points: list[tuple[float, float]], together: Callable[[list[float]], float]) -> Points:
    """At most MAX_POINTS points, one for each of so many equal spans of time, at the last time within it."""
    if len(points) <= MAX_POINTS:
        return tuple(points)
    first, last = points[0][0], points[-1][0]
    spans: dict[int, list[tuple[float, float]]] = {}
    for t, value in points:
        place = int((t - first) / (last - first) * MAX_POINTS) if last > first else 0
        spans.setdefault(min(place, MAX_POINTS - 1), []).append((t, value))
    return tuple((some[-1][0], together([value for _, value in some])) for some in spans.values())


def _rates(points: Points) -> Points:
    """Growth per second between points. Where a counter fell it was started again, which gives no rate."""
    pairs = itertools.pairwise(points)
    return tuple(
        (t, (value - was) / (t - then)) for (then, was), (t, value) in pairs if t - then >= MIN_STEP and value >= was
    )
