"""Samples of what a job uses: one look, a series of them, and the energy that adds up meanwhile. Pure.

Times are seconds since sampling began, which is when the job starts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

MAX_SAMPLES = 18_000  # kept of a job: 24 minutes at 12.5 Hz; a longer job keeps every second, fourth, … one

EnergySource = Literal["counter", "power"]

# https://docs.nvidia.com/deploy/nvml-api/group__nvmlClocksEventReasons.html: bit → why the clocks are what they are
REASONS = {
    0x001: "idle",
    0x002: "application clocks",
    0x004: "power cap",
    0x008: "hardware slowdown",
    0x010: "sync boost",
    0x020: "software thermal slowdown",
    0x040: "hardware thermal slowdown",
    0x080: "power brake",
    0x100: "display clocks",
}
CHOSEN = {"idle", "application clocks", "display clocks"}  # nothing slows the GPU down against its owner's wish


@dataclass(frozen=True, kw_only=True)
class ResourceUsage:
    """What a job has used so far, all its processes together."""

    cpu_seconds: float
    memory: int  # bytes, now
    memory_peak: int  # bytes, so far
    source: str  # who says so, in words


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuReading:
    """One look at a GPU. None where the card does not tell."""

    utilisation: float | None = None  # % of the driver's last sampling period in which a kernel ran
    memory: int | None = None  # bytes in use, by whatever program
    power: float | None = None  # W
    temperature: float | None = None  # °C
    sm_clock: float | None = None  # MHz
    memory_clock: float | None = None  # MHz
    reasons: int | None = None  # bits of REASONS
    counter: int | None = None  # mJ since the driver was loaded


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """Everything seen at one moment."""

    t: float
    gpus: tuple[GpuReading, ...] = ()
    joules: tuple[float | None, ...] = ()  # of each GPU, since the first sample
    cpu_seconds: float | None = None  # of the job, so far
    memory: int | None = None  # bytes, of the job, now
    memory_peak: int | None = None  # bytes, of the job, so far


class Timed(NamedTuple):
    """An epoch or the timed inference pass: when it began and ended, and how many samples it worked through."""

    began: float
    ended: float
    samples: int


class EnergyMeter:
    """Joules of one GPU since its first reading: from its energy counter, else its power by the trapezoid rule."""

    def __init__(self) -> None:
        self.source: EnergySource | None = None
        self._first: int | None = None
        self._last: tuple[float, float] | None = None
        self._integral = 0.0

    def joules(self, t: float, reading: GpuReading) -> float | None:
        """Take a reading made at `t`; None when it tells no energy. What the first one tells decides the source."""
        if self.source is None:
            self.source = "counter" if reading.counter is not None else "power" if reading.power is not None else None
        if self.source == "counter":
            return self._counted(reading.counter)
        if self.source == "power" and reading.power is not None:
            return self._integrated(t, reading.power)
        return None

    def _counted(self, counter: int | None) -> float | None:
        if counter is None:
            return None
        if self._first is None:
            self._first = counter
        # A counter below its first value was reset with the driver: it says nothing about this job any more.
        return (counter - self._first) / 1000 if counter >= self._first else None

    def _integrated(self, t: float, power: float) -> float:
        if self._last is not None:
            then, before = self._last
            self._integral += (t - then) * (before + power) / 2
        self._last = t, power
        return self._integral


class Series:
    """Samples in order, thinned out evenly so that no more than `limit` are kept. The last one always is."""

    def __init__(self, limit: int = MAX_SAMPLES) -> None:
        self._limit = limit
        self._every = 1
        self._kept: list[Sample] = []
        self._last: Sample | None = None
        self.seen = 0

    def add(self, sample: Sample) -> None:
        """Take the next sample."""
        if self.seen % self._every == 0:
            self._kept.append(sample)
            if len(self._kept) >= self._limit:  # one place stays free for the last sample
                self._kept = self._kept[::2]
                self._every *= 2
        self._last = sample
        self.seen += 1

    def samples(self) -> list[Sample]:
        """What is kept, the first and the last one included."""
        if self._last is None or self._kept[-1] is self._last:
            return list(self._kept)
        return [*self._kept, self._last]


def reasons_of(bits: int) -> list[str]:
    """The names behind a bit mask; a bit that a newer driver has is named by its value."""
    return [REASONS.get(1 << place, f"{1 << place:#x}") for place in range(bits.bit_length()) if bits >> place & 1]


def lines_of(
    samples: Sequence[Sample], timed: Sequence[Timed], gpus: Sequence[str], usage_source: str | None
) -> Iterator[dict[str, Any]]:
    """The lines of <job>.telemetry.jsonl: what the series is of, then the samples; what is unknown is left out."""
    yield {
        "gpus": list(gpus),
        "usage_source": usage_source,
        "timed": [[round(each.began, 4), round(each.ended, 4), each.samples] for each in timed],
    }
    for sample in samples:
        readings = [
            _known({**asdict(reading), "joules": joules})
            for reading, joules in zip(sample.gpus, sample.joules, strict=True)
        ]
        usage = {"cpu_seconds": sample.cpu_seconds, "memory": sample.memory, "memory_peak": sample.memory_peak}
        yield {"t": round(sample.t, 4), **_known(usage), **({"gpus": readings} if readings else {})}


def _known(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
