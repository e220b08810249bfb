"""What this machine's CPUs can do at most: measured once by `rosetta doctor --bench`, and kept in the cache.

A product of float32 matrices gives the floating point operations a second, a copy of arrays that are larger than any
cache gives the bytes that memory reads and writes a second. NumPy does both, the former with its BLAS library.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from orchestrator import files
from orchestrator.errors import HostError
from orchestrator.host import scheduling
from orchestrator.host.machine import Host
from orchestrator.strict import Strict

FILE = "peak.json"
SECONDS = 2.0  # of each of the two measurements, at least; the fastest repetition counts
MATRIX = 2048  # rows and columns: 17 billion operations a product
COPIED = 256 * 2**20  # bytes that all threads copy together
OTHERS = 0.1  # share of the CPUs that other programs may use meanwhile
Rate = Annotated[float, Field(gt=0)]


class Peak(Strict):
    """What some CPUs of one machine reached together, without another program beside them."""

    host: str | None  # id of the installation
    cpu: str  # model
    cpus: int
    flops: Rate  # floating point operations a second, in float32
    bandwidth: Rate  # bytes a second, read and written
    measured: str  # day
    numpy: str  # version


def measure(host: Host) -> Peak:
    """Measure all CPUs that this process may use. Takes a few seconds, and half a gigabyte of memory.

    Raises HostError when other programs used the CPUs meanwhile: what is left of a peak proves nothing.
    """
    counters = scheduling.MachineCpus(host.cpus)
    before, used, begin = counters.read(), time.process_time(), time.perf_counter()
    found = _measure(host)
    after, used, seconds = counters.read(), time.process_time() - used, time.perf_counter() - begin
    grown = [(end or 0.0) - (start or 0.0) for start, end in ((before.busy, after.busy), (before.steal, after.steal))]
    others = max(0.0, sum(grown) - used) / seconds
    if others > OTHERS * len(host.cpus):
        raise HostError(
            f"other programs used {others:.2g} of {len(host.cpus)} CPUs while their peak was measured",
            hint="end them, then measure again: rosetta doctor --bench",
        )
    return found


def _measure(host: Host) -> Peak:
    import numpy as np

    cpus = host.cpus_for(None)
    left = np.ones((MATRIX, MATRIX), np.float32)
    product = np.empty_like(left)
    multiply = _fastest(lambda: np.matmul(left, left, out=product))
    sources = [np.ones(COPIED // len(cpus), np.uint8) for _ in cpus]
    targets = [np.ones_like(source) for source in sources]
    with ThreadPoolExecutor(len(cpus)) as threads:
        copy = _fastest(lambda: list(threads.map(np.copyto, targets, sources)))
    return Peak(
        host=host.id,
        cpu=host.cpu,
        cpus=len(cpus),
        flops=2 * MATRIX**3 / multiply,
        bandwidth=2 * sum(source.nbytes for source in sources) / copy,
        measured=datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        numpy=np.__version__,
    )


def store(peak: Peak, cache: Path) -> None:
    """Keep it in the cache. Raises OSError."""
    files.atomic_write(cache / FILE, peak.model_dump_json(indent=1).encode())


def load(cache: Path) -> Peak | None:
    """What was measured last; None if nothing was, or the file is damaged."""
    try:
        return Peak.model_validate_json((cache / FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def of_job(peak: Peak | None, host: str | None, cpu: str | None, cpus: Sequence[int]) -> Peak | None:
    """The peak of `cpus` of the machine `host`; None if it is another machine, or more of them than were measured."""
    if peak is None or (peak.host, peak.cpu) != (host, cpu) or not 0 < len(cpus) <= peak.cpus:
        return None
    share = len(cpus) / peak.cpus
    # Fewer CPUs may each run faster, and some have most of the memory's bandwidth: only the operations are shared out.
    return peak.model_copy(update={"cpus": len(cpus), "flops": peak.flops * share})


def _fastest(work: Callable[[], object]) -> float:
    """The seconds of the fastest repetition."""
    work()  # the first one also starts threads and touches memory
    best, until = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < until:
        begin = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begin)
    return best
