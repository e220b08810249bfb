"""Computes what a job used from the samples taken while it ran. Pure; engines/sampler.py takes the samples.

The *timed part* of a job is the part that its speed is computed from: its epochs, or the timed inference pass.
Workloads have their own clocks, so the timed part is found by the arrival of their events: an epoch that took s seconds
and whose event arrived at t is the span from t - s to t.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from orchestrator.host.samples import CHOSEN, EnergyMeter, EnergySource, GpuReading, Sample, Timed, reasons_of
from orchestrator.strict import Strict

MIN_TIMED = 2.0  # seconds; samples at 5 to 10 Hz are too coarse for a shorter timed part
MIN_COUNTED = 1.0  # seconds; the kernel counts CPU time in steps of 10 ms, which is too coarse for less
MAX_PARTS = 1000  # of the timed part that are listed one by one


class Quantity(Strict):
    """Mean and peak of the readings."""

    mean: float
    peak: float


class GpuTelemetry(Strict):
    """A GPU's figures over the span in `Telemetry.over`, unless a field names another."""

    uuid: str
    utilisation: Quantity | None = None  # % of the time in which a kernel ran
    memory: Quantity | None = None  # bytes in use on the GPU, by any program
    power: Quantity | None = None  # W
    temperature: Quantity | None = None  # °C
    sm_clock: Quantity | None = None  # MHz
    memory_clock: Quantity | None = None  # MHz
    throttled: dict[str, float]  # reason for a lower clock → share of the samples, 0 to 1
    memory_peak: int | None = None  # bytes, over the whole job
    joules: float | None = None  # over the whole job, loading and compiling included
    timed_joules: float | None = None  # over the timed part; None if that was shorter than MIN_TIMED
    energy_source: EnergySource | None = None  # the GPU's energy counter, or its power integrated over time


class Telemetry(Strict):
    """What a job used. Means and peaks are over its timed part, or over the whole job if that part was too short.

    `samples_per_joule` is the number of samples in the timed part divided by the energy of all GPUs during that part.
    No figure includes the energy of CPUs, memory and power supply.
    """

    over: Literal["timed", "job"]
    seconds: float  # between the first and the last sample
    samples: int  # samples taken; the series may keep fewer
    hz: float | None  # samples per second; None for a single sample
    timed_s: float
    timed_samples: int  # images or reviews
    gpus: tuple[GpuTelemetry, ...] = ()
    samples_per_joule: float | None = None
    memory_peak: int | None = None  # bytes, of the job in main memory, over the whole job
    cpus: float | None = None  # CPU seconds of the job per second
    usage_source: str | None = None  # where memory_peak and cpus come from
    # What kept the job from its CPUs, over the span in `over`; None where it is unknown. Shares are 0 to 1.
    cpus_given: int | None = None  # how many CPUs the job could use
    others_cpus: float | None = None  # CPU seconds of other programs per second, on the job's CPUs
    others_by_part: tuple[float | None, ...] = ()  # the same of each epoch; empty if there are more than MAX_PARTS
    steal: float | None = None  # share of the time of these CPUs that a hypervisor gave to other machines
    throttled: float | None = None  # share of the time of these CPUs in which quotas kept the job from running
    pressure: float | None = None  # share of the time in which some task of the machine waited for a CPU
    job_pressure: float | None = None  # the same for tasks of the job; only control groups of version 2 count it
    orchestrator_cpus: float  # CPU seconds of the orchestrator itself per second, over the whole job
    sampling_cpus: float  # the part of orchestrator_cpus that sampling took
    notes: tuple[str, ...] = ()  # what went wrong while sampling

    @property
    def joules(self) -> float | None:
        """Energy of all GPUs over the whole job."""
        return _total(gpu.joules for gpu in self.gpus)

    @property
    def gpu_utilisation(self) -> float | None:
        """Mean over all GPUs, in %."""
        means = [gpu.utilisation.mean for gpu in self.gpus if gpu.utilisation is not None]
        return sum(means) / len(means) if means else None

    @property
    def gpu_memory_peak(self) -> int | None:
        """Bytes, of the GPU with the highest peak."""
        return max((gpu.memory_peak for gpu in self.gpus if gpu.memory_peak is not None), default=None)


@dataclass(frozen=True, kw_only=True)
class Around:
    """Facts that do not come from the samples; see the fields of Telemetry."""

    usage_source: str | None
    orchestrator_cpus: float
    sampling_cpus: float
    notes: tuple[str, ...]
    cpus_given: int | None = None


def summarise(
    samples: Sequence[Sample],
    looks: int,
    timed: Sequence[Timed],
    gpus: Sequence[tuple[str, EnergyMeter]],
    around: Around,
) -> Telemetry:
    """Compute the figures. `looks` samples were taken, of which `samples` were kept; `gpus` are (UUID, meter)."""
    whole = (samples[0].t, samples[-1].t) if samples else (0.0, 0.0)
    seconds = whole[1] - whole[0]
    timed_s = sum(each.ended - each.began for each in timed)
    work = sum(each.samples for each in timed)
    cut = timed_s >= MIN_TIMED
    spans = [(each.began, each.ended) for each in timed] if cut else [whole]
    inside = [sample for sample in samples if _within(sample.t, spans)]
    cards = tuple(
        _gpu(uuid, meter.source, _GpuSamples(samples, inside, number), spans if cut else None)
        for number, (uuid, meter) in enumerate(gpus)
    )
    energy = _total(card.timed_joules for card in cards)
    return Telemetry(
        over="timed" if cut else "job",
        seconds=seconds,
        samples=looks,
        hz=(looks - 1) / seconds if seconds else None,
        timed_s=timed_s,
        timed_samples=work,
        gpus=cards,
        samples_per_joule=work / energy if energy else None,
        memory_peak=max((sample.memory_peak for sample in samples if sample.memory_peak is not None), default=None),
        cpus=_rate([(sample.t, sample.cpu_seconds) for sample in samples], spans),
        **_interference(samples, spans, around.cpus_given),
        others_by_part=_by_part(samples, timed) if cut else (),
        **asdict(around),
    )


def rise(points: Sequence[tuple[float, float]], spans: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """How much a growing quantity grew during `spans`, and how many seconds of the spans `points` cover.

    `points` are (time, value) in order of time, at least one. Between two points it is interpolated linearly.
    """
    grown, covered = zip(*_rises(points, spans), strict=True)
    return math.fsum(grown), math.fsum(covered)


def _rises(
    points: Sequence[tuple[float, float]], spans: Sequence[tuple[float, float]]
) -> Sequence[tuple[float, float]]:
    """The same for each of `spans`, at least one."""
    import numpy

    times, values = numpy.array(points, dtype=float).T
    edges = numpy.clip(numpy.array(spans, dtype=float), times[0], times[-1])
    grown, covered = numpy.diff(numpy.interp(edges, times, values)), numpy.diff(edges)
    return list(zip(grown[:, 0].tolist(), covered[:, 0].tolist(), strict=True))


class _GpuSamples(NamedTuple):
    """The samples of one GPU, which is number `number` in each of them."""

    whole: Sequence[Sample]
    inside: Sequence[Sample]  # those within the spans that the figures cover
    number: int

    def values(self, read: Callable[[GpuReading], float | None], *, whole: bool = False) -> list[float]:
        """The readings of one quantity, without missing ones."""
        readings = (sample.gpus[self.number] for sample in (self.whole if whole else self.inside) if sample.gpus)
        return [value for reading in readings if (value := read(reading)) is not None]

    def quantity(self, read: Callable[[GpuReading], float | None]) -> Quantity | None:
        values = self.values(read)
        return Quantity(mean=sum(values) / len(values), peak=max(values)) if values else None

    def energy(self) -> list[tuple[float, float]]:
        readings = ((sample.t, sample.joules[self.number]) for sample in self.whole if sample.joules)
        return [(t, joules) for t, joules in readings if joules is not None]


def _gpu(
    uuid: str, source: EnergySource | None, samples: _GpuSamples, timed: Sequence[tuple[float, float]] | None
) -> GpuTelemetry:
    """The figures of one GPU; `timed` are the spans of the timed part, or None if that is too short."""
    energy = samples.energy()
    timed_joules = None
    if timed is not None and energy:
        grown, covered = rise(energy, timed)
        if covered > 0.99 * sum(ended - began for began, ended in timed):  # else the GPU was lost during the job
            timed_joules = grown
    memory = samples.values(lambda reading: reading.memory, whole=True)
    return GpuTelemetry(
        uuid=uuid,
        utilisation=samples.quantity(lambda reading: reading.utilisation),
        memory=samples.quantity(lambda reading: reading.memory),
        power=samples.quantity(lambda reading: reading.power),
        temperature=samples.quantity(lambda reading: reading.temperature),
        sm_clock=samples.quantity(lambda reading: reading.sm_clock),
        memory_clock=samples.quantity(lambda reading: reading.memory_clock),
        throttled=_throttled(samples.values(lambda reading: reading.reasons)),
        memory_peak=int(max(memory)) if memory else None,
        joules=energy[-1][1] - energy[0][1] if len(energy) > 1 else None,
        timed_joules=timed_joules,
        energy_source=source,
    )


def _within(t: float, spans: Sequence[tuple[float, float]]) -> bool:
    """Whether a moment lies in one of `spans`, which are in order and do not overlap."""
    place = bisect.bisect_right(spans, (t, math.inf)) - 1
    return place >= 0 and t <= spans[place][1]


def _throttled(masks: Sequence[float]) -> dict[str, float]:
    names = [name for mask in masks for name in reasons_of(int(mask)) if name not in CHOSEN]
    return {name: names.count(name) / len(masks) for name in dict.fromkeys(names)}


def _rate(
    points: Sequence[tuple[float, float | None]], spans: Sequence[tuple[float, float]], *, least: float = 0.0
) -> float | None:
    """Growth per second over the part of `spans` that points cover.

    None if they cover less than half of it, or less than `least` seconds.
    """
    known = [(t, value) for t, value in points if value is not None]
    if not known:
        return None
    grown, covered = rise(known, spans)
    enough = max(least, sum(ended - began for began, ended in spans) / 2)
    return grown / covered if covered and covered >= enough else None


def _interference(samples: Sequence[Sample], spans: Sequence[tuple[float, float]], cpus: int | None) -> dict[str, Any]:
    """What kept a job with so many CPUs from them during `spans`, as fields of Telemetry."""

    def grown(read: Callable[[Sample], float | None]) -> float | None:
        return _rate([(sample.t, read(sample)) for sample in samples], spans, least=MIN_COUNTED)

    def share(read: Callable[[Sample], float | None], of: int | None = 1) -> float | None:
        rate = grown(read)
        return None if rate is None or of is None else min(max(rate / of, 0.0), 1.0)

    others = grown(lambda sample: sample.others)
    return {
        "others_cpus": None if others is None else max(others, 0.0),  # the counters are not read at one moment
        "steal": share(lambda sample: sample.steal, cpus),
        "throttled": share(lambda sample: sample.throttled, cpus),
        "pressure": share(lambda sample: sample.pressure),
        "job_pressure": share(lambda sample: sample.job_pressure),
    }


def _by_part(samples: Sequence[Sample], timed: Sequence[Timed]) -> tuple[float | None, ...]:
    """CPU seconds of other programs per second in each part of the timed part, rounded to 1/1000."""
    points = [(sample.t, others) for sample in samples if (others := sample.others) is not None]
    if not points or len(timed) > MAX_PARTS:
        return ()
    parts = zip(timed, _rises(points, [(each.began, each.ended) for each in timed]), strict=True)
    return tuple(
        round(max(grown / covered, 0.0), 3) if covered >= max(MIN_COUNTED, (part.ended - part.began) / 2) else None
        for part, (grown, covered) in parts
    )


def _total(values: Iterable[float | None]) -> float | None:
    """The sum; None if there are no values, or if one is unknown."""
    found = list(values)
    known = [value for value in found if value is not None]
    return sum(known) if found and len(known) == len(found) else None
