"""Takes samples beside a running job, in a thread of its own.

    sampler = Sampler(gpus, cpus)
    with engine.run(...) as execution, sampler.beside(execution.usage, others_are_busy):
        ...                         # sampler.elapsed() is the time of what happens now, by the clock of the samples
    observations = sampler.observations(neighbours)

Nothing that goes wrong here fails a job: it becomes a note. What is sampled, and what it costs: docs/telemetry.md.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from orchestrator.engines.base import Observations
from orchestrator.host import neighbours, nvml
from orchestrator.host.neighbours import Neighbour
from orchestrator.host.samples import EnergyMeter, ResourceUsage, Sample, Series
from orchestrator.host.scheduling import MachineCounters, MachineCpus
from orchestrator.record.telemetry import Around

GPU_PERIOD = 0.08  # seconds between two readings of a GPU: at least 10 a second, even if some come late
USAGE_PERIOD = 0.2  # seconds between two readings of the job's CPU time and memory, which cost more
OTHERS_PERIOD = 1.0  # seconds between two checks whether other programs are busy; the kernel counts in steps of 10 ms
END_SECONDS = 2.0  # a last sample that takes longer, for example because a driver hangs, is not waited for
MAX_NOTES = 10


class Clock:
    """The clock of the samples."""

    def now(self) -> float:
        """The time in seconds since some moment."""
        return time.monotonic()

    def wait(self, over: threading.Event, seconds: float) -> None:
        """Wait for `seconds`, or until `over` is set."""
        over.wait(seconds)


def _nothing() -> None:
    """Nobody wants to know."""


class Sampler:
    """Samples one job. `gpus` are the UUIDs of those it uses, `cpus` the numbers of the CPUs that it was given."""

    def __init__(self, gpus: Sequence[str] = (), cpus: Sequence[int] = (), clock: Clock | None = None) -> None:
        self._gpus = gpus
        self._cpus = cpus
        self._clock = clock or Clock()
        self._machine = MachineCpus(cpus)
        self._checked: Sample | None = None  # the sample up to which other programs were checked
        self._series = Series()
        self._cards: tuple[tuple[str, EnergyMeter], ...] = ()
        self._notes: list[str] = []
        self._source: str | None = None
        self._over = threading.Event()
        self._began = self._ended = self._clock.now()
        self._cpu_began = self._cpu_ended = time.process_time()
        self._cpu_sampling = 0.0

    @contextlib.contextmanager
    def beside(
        self, usage: Callable[[], ResourceUsage | None], others_are_busy: Callable[[], None] = _nothing
    ) -> Iterator[None]:
        """Sample while the block runs. Both functions are called in the sampler's thread.

        `others_are_busy` is called at most once a second, while other programs use the job's CPUs.
        """
        self._began = self._clock.now()
        self._cpu_began = time.process_time()
        # A daemon: a driver that never answers must not keep the orchestrator from ending.
        thread = threading.Thread(target=self._run, args=(usage, others_are_busy), name="telemetry", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended = self._clock.now()
            self._over.set()
            thread.join(END_SECONDS)
            self._cpu_ended = time.process_time()  # the last sample's included, as in its thread's own time
            if thread.is_alive():
                self._note(f"the last sample took longer than {END_SECONDS:g} s and is left out")

    def elapsed(self) -> float:
        """Seconds since sampling began, which is when the job began."""
        return self._clock.now() - self._began

    def observations(self, neighbours: tuple[Neighbour, ...] = ()) -> Observations:
        """What was measured, once the block of `beside` was left."""
        return Observations(
            samples=self._series.samples(),
            taken=self._series.seen,
            gpus=self._cards,
            around=self._around(),
            neighbours=neighbours,
        )

    def _run(self, usage: Callable[[], ResourceUsage | None], others_are_busy: Callable[[], None]) -> None:
        try:
            with nvml.opened(self._gpus, self._note) as cards:
                self._cards = tuple((card.uuid, EnergyMeter()) for card in cards)
                for sample in self._samples(cards, usage):
                    self._series.add(sample)
                    if self._finds_others(sample):
                        others_are_busy()
                    self._cpu_sampling = time.thread_time()
        except nvml.GpuLostError as error:
            self._note(f"sampling stopped: {error}")
        except Exception as error:  # noqa: BLE001  (a sample that is missing is no reason to lose a job)
            self._note(f"sampling stopped: {type(error).__name__}: {error}")

    def _samples(self, cards: Sequence[nvml.GpuSensors], usage: Callable[[], ResourceUsage | None]) -> Iterator[Sample]:
        """Take samples until the job is over, and one more then: the timed part ends just before the job does."""
        period = GPU_PERIOD if cards else USAGE_PERIOD
        due = usage_due = 0.0
        while True:
            now = self.elapsed()
            last = self._over.is_set()
            ask = now >= usage_due or last
            if ask:
                usage_due = now + USAGE_PERIOD - period / 2  # the sample nearest to it, even if a little early
            yield self._look(cards, usage() if ask else None)
            if last:
                return
            due = max(due + period, self.elapsed())  # samples that were missed are not made up for
            self._clock.wait(self._over, due - self.elapsed())

    def _look(self, cards: Sequence[nvml.GpuSensors], used: ResourceUsage | None) -> Sample:
        readings = tuple(card.read() for card in cards)
        t = self.elapsed()
        joules = tuple(meter.joules(t, reading) for (_, meter), reading in zip(self._cards, readings, strict=True))
        if used is None:
            return Sample(t=t, gpus=readings, joules=joules)
        self._source = used.source
        machine = MachineCounters() if used.elsewhere else self._machine.read()
        return Sample(
            t=t,
            gpus=readings,
            joules=joules,
            cpu_seconds=used.cpu_seconds,
            memory=used.memory,
            memory_peak=used.memory_peak,
            own_cpu_seconds=time.process_time(),
            busy=machine.busy,
            steal=machine.steal,
            pressure=machine.pressure,
            job_pressure=used.pressure,
            throttled=used.throttled,
        )

    def _finds_others(self, sample: Sample) -> bool:
        """Whether other programs have used the job's CPUs since the last check, which was OTHERS_PERIOD ago or more."""
        if sample.others is None:
            return False
        before, since = self._checked, sample.t - self._checked.t if self._checked else OTHERS_PERIOD
        if since < OTHERS_PERIOD:
            return False
        self._checked = sample
        if before is None or before.others is None:
            return False
        return (sample.others - before.others) / since >= neighbours.notable_cpus(len(self._cpus))

    def _around(self) -> Around:
        seconds = self._ended - self._began
        return Around(
            usage_source=self._source,
            cpus_given=len(self._cpus) or None,
            orchestrator_cpus=(self._cpu_ended - self._cpu_began) / seconds,
            sampling_cpus=self._cpu_sampling / seconds,
            notes=tuple(self._notes),
        )

    def _note(self, text: str) -> None:
        """Remember what went wrong, once; it may come from another program, and be long."""
        line = "".join(character if character.isprintable() else " " for character in text)[:300]
        if line not in self._notes and len(self._notes) < MAX_NOTES:
            self._notes.append(line)
