"""Made-up samples of what a job used."""

import json
from collections.abc import Iterable, Sequence

from orchestrator.host import samples
from orchestrator.host.samples import GpuReading, Sample, Timed

GIB = 2**30


def lines(found: Sequence[Sample], timed: Iterable[tuple[float, float]] = (), gpus: Sequence[str] = ()) -> list[bytes]:
    series = samples.lines_of(found, [Timed(*each, samples=1) for each in timed], gpus, "cgroup v2")
    return [json.dumps(line).encode() + b"\n" for line in series]


def host_samples(seconds: float = 60.0, hz: int = 5) -> list[Sample]:
    """A job that waits for 10 s and then keeps 1.5 CPUs busy; its memory rises to 2 GiB."""
    times = [n / hz for n in range(int(seconds * hz) + 1)]
    return [Sample(t=t, cpu_seconds=1.5 * max(0.0, t - 10), memory=int(2 * GIB * t / seconds)) for t in times]


def gpu_samples(seconds: float = 60.0, cards: int = 1) -> list[Sample]:
    """Cards that are busy from 10 s on."""
    times = [n / 10 for n in range(int(seconds * 10) + 1)]
    busy = GpuReading(utilisation=97.0, memory=11 * GIB, power=280.0)
    idle = GpuReading(utilisation=0.0, memory=GIB, power=60.0)
    return [Sample(t=t, gpus=(busy if t > 10 else idle,) * cards, joules=(None,) * cards) for t in times]
