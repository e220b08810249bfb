"""Samples of what a job uses: single readings, series of samples, and energy. No input or output.

Times are seconds since sampling began, at the start of the job.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

MAX_SAMPLES = 18_000  # kept per job: 24 minutes at 12.5 Hz; of a longer job, every second, fourth, … sample is kept

EnergySource = Literal["counter", "power"]
USAGE = (  # the fields of a sample that are stored as they are
    "cpu_seconds",
    "memory",
    "memory_peak",
    "own_cpu_seconds",
    "busy",
    "steal",
    "pressure",
    "job_pressure",
    "throttled",
)

# https://docs.nvidia.com/deploy/nvml-api/group__nvmlClocksEventReasons.html: bit → what limits the clocks
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
CHOSEN = {"idle", "application clocks", "display clocks"}  # these are idleness or settings, not throttling


@dataclass(frozen=True, kw_only=True)
class ResourceUsage:
    """What all processes of a job together have used so far."""

    cpu_seconds: float
    memory: int  # bytes, now
    memory_peak: int  # bytes, so far
    source: str  # where these figures come from: "cgroup v2"
    pressure: float | None = None  # seconds in which some task of the job's own control group waited for a CPU
    throttled: float | None = None  # seconds for which quotas stopped the job, summed over its CPUs
    elsewhere: bool = False  # from a daemon that may be on another machine


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuReading:
    """One reading of a GPU's sensors. None for a sensor that the card lacks."""

    utilisation: float | None = None  # % of the driver's last sampling period in which a kernel ran
    memory: int | None = None  # bytes in use, by all programs
    power: float | None = None  # W
    temperature: float | None = None  # °C
    sm_clock: float | None = None  # MHz
    memory_clock: float | None = None  # MHz
    reasons: int | None = None  # bits of REASONS
    counter: int | None = None  # mJ since the driver was loaded


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """Everything that was read at one moment."""

    t: float
    gpus: tuple[GpuReading, ...] = ()
    joules: tuple[float | None, ...] = ()  # of each GPU, since the first sample
    cpu_seconds: float | None = None  # of the job, so far
    memory: int | None = None  # bytes, of the job, now
    memory_peak: int | None = None  # bytes, of the job, so far
    own_cpu_seconds: float | None = None  # of this process, so far
    busy: float | None = None  # CPU seconds that all programs used on the job's CPUs, so far; see host/scheduling.py
    steal: float | None = None  # CPU seconds that the hypervisor took from these CPUs, so far
    pressure: float | None = None  # seconds in which some task of the machine waited for a CPU, so far
    job_pressure: float | None = None  # the same of the job's own control group
    throttled: float | None = None  # seconds for which quotas stopped the job, summed over its CPUs, so far

    @property
    def others(self) -> float | None:
        """CPU seconds, so far, of all programs on the job's CPUs but the job and this process.

        It includes programs that have ended. It counts from the start of the machine, so only its growth says anything.
        """
        if self.busy is None or self.cpu_seconds is None or self.own_cpu_seconds is None:
            return None
        return self.busy - self.cpu_seconds - self.own_cpu_seconds


class Timed(NamedTuple):
    """An epoch or the timed inference pass: when it began and ended, and how many samples it processed."""

    began: float
    ended: float
    samples: int


class EnergyMeter:
    """Joules of one GPU since its first reading: from its energy counter, else from its power (trapezoid rule)."""

    def __init__(self) -> None:
        self.source: EnergySource | None = None
        self._first: int | None = None
        self._last: tuple[float, float] | None = None
        self._integral = 0.0

    def joules(self, t: float, reading: GpuReading) -> float | None:
        """Add a reading made at `t`. None when it has no energy. The first reading decides which source is used."""
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
        # A counter below its first value was reset with the driver, so its difference is meaningless.
        return (counter - self._first) / 1000 if counter >= self._first else None

    def _integrated(self, t: float, power: float) -> float:
        if self._last is not None:
            then, before = self._last
            self._integral += (t - then) * (before + power) / 2
        self._last = t, power
        return self._integral


class Series:
    """Samples in order, thinned out evenly so that at most `limit` are kept. The last one is always kept."""

    def __init__(self, limit: int = MAX_SAMPLES) -> None:
        self._limit = limit
        self._every = 1
        self._kept: list[Sample] = []
        self._last: Sample | None = None
        self.seen = 0

    def add(self, sample: Sample) -> None:
        """Add the next sample."""
        if self.seen % self._every == 0:
            self._kept.append(sample)
            if len(self._kept) >= self._limit:  # one place is left for the last sample
                self._kept = self._kept[::2]
                self._every *= 2
        self._last = sample
        self.seen += 1

    def samples(self) -> list[Sample]:
        """The samples that are kept, including the first and the last one."""
        if self._last is None or self._kept[-1] is self._last:
            return list(self._kept)
        return [*self._kept, self._last]


def reasons_of(bits: int) -> list[str]:
    """The names of the bits in a mask; a bit of a newer driver is named by its value."""
    return [REASONS.get(1 << place, f"{1 << place:#x}") for place in range(bits.bit_length()) if bits >> place & 1]


def lines_of(
    samples: Sequence[Sample], timed: Sequence[Timed], gpus: Sequence[str], usage_source: str | None
) -> Iterator[dict[str, Any]]:
    """The lines of <job>.telemetry.jsonl: a header, then the samples. Unknown values are left out."""
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
        usage = {name: getattr(sample, name) for name in USAGE}
        yield {"t": round(sample.t, 4), **_known(usage), **({"gpus": readings} if readings else {})}


def _known(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
