"""What is known of a running job by its latest event, and how long jobs will still take. Pure, except for the clock."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable

from orchestrator.plan.jobs import Job
from orchestrator.record import events
from orchestrator.record.results import Result

_EARLY = 0.05  # of the first epoch: before, its pace says too little
_TELLING = (
    events.Start,
    events.Ready,
    events.Step,
    events.Epoch,
    events.Score,
    events.Cold,
    events.Inference,
    events.End,
)


class Estimates:
    """How many seconds jobs take, by those of this run that have succeeded."""

    def __init__(self) -> None:
        self._seconds: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)

    def add(self, result: Result) -> None:
        """Learn from a job that has ended."""
        if result.status == "ok":
            job = result.job
            for key in ((job.framework, job.workload), (job.workload,)):
                self._seconds[key].append(result.seconds)

    def of(self, job: Job) -> float | None:
        """Seconds of `job`: the mean of the same cell, else of the same workload; None where no such job has ended."""
        seconds = self._seconds.get((job.framework, job.workload)) or self._seconds.get((job.workload,))
        return sum(seconds) / len(seconds) if seconds else None


class RunningJob:
    """A job between its start and its end. Times are in seconds, by `clock`."""

    def __init__(
        self, job: Job, epoch_samples: int | None, estimate: float | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """A training epoch has `epoch_samples`; the whole job takes about `estimate`. Both may be unknown."""
        self.job = job
        self.began = clock()
        self._clock = clock
        self._epoch_samples = epoch_samples
        self._estimate = estimate
        self._event: events.Event | None = None
        self._measured: events.Step | events.Epoch | events.Cold | events.Inference | None = None  # the latest one
        self._at = self.began
        self._epochs = 0
        self._epoch_seconds = 0.0

    def take(self, event: events.Event) -> None:
        """Keep an event, if it says how far the job is. Cheap: it is called for every event."""
        if isinstance(event, _TELLING):
            if isinstance(event, events.Epoch):
                self._epochs = event.epoch
                self._epoch_seconds += event.seconds
            if isinstance(event, events.Step | events.Epoch | events.Cold | events.Inference):
                self._measured = event
            self._at = self._clock()
            self._event = event

    @property
    def state(self) -> str:
        """What the job does now, in a few words."""
        match self._event:
            case None:
                return "starting"
            case events.Start():
                return "loading and compiling"
            case events.Cold():
                return "timed passes"
            case events.Inference() | events.End():
                return "ending"
            case events.Epoch() if self._epochs >= self._all_epochs:
                return "scoring"
            case events.Score() if self._epochs >= self._all_epochs:
                return "ending"
        if not self.job.declaration.trains:
            return "first pass"
        return f"epoch {self._epochs + 1} of {self._all_epochs}"

    @property
    def rate(self) -> str:
        """Samples per second of the epoch so far, or of the latest whole epoch or pass; empty before there is any."""
        event = self._measured
        if event is None or not event.seconds:
            return ""
        rate = event.samples / event.seconds
        figure = f"{rate:,.{0 if rate >= 100 else 1 if rate >= 1 else 2}f}"
        return ("cold " if isinstance(event, events.Cold) else "") + f"{figure} {self.job.declaration.samples}/s"

    @property
    def loss(self) -> str:
        """The latest loss of a training."""
        return f"loss {self._measured.loss:.4f}" if isinstance(self._measured, events.Step | events.Epoch) else ""

    @property
    def done(self) -> float:
        """Which part of the job is done, from 0 to 1, without what comes before the first and after the last sample."""
        if not self.job.declaration.trains:
            return {"cold": 0.5, "inference": 1.0, "end": 1.0}.get(self._event.event if self._event else "", 0.0)
        return min(1.0, (self._epochs + self._part()) / self._all_epochs)

    def seconds_left(self) -> float | None:
        """About how long the job will still run; None where nothing is known."""
        now = self._clock()
        if (by_pace := self._left_by_pace()) is not None:
            return max(0.0, by_pace - (now - self._at))
        return None if self._estimate is None else max(0.0, self._estimate - (now - self.began))

    def seconds_in_all(self) -> float | None:
        """About how long the whole job takes; None where nothing is known."""
        left = self.seconds_left()
        return None if left is None else self._clock() - self.began + left

    def _left_by_pace(self) -> float | None:
        """Seconds left when the latest event came, by the epochs or the pass so far."""
        event, part = self._event, self._part()
        if isinstance(event, events.Cold):
            return event.seconds
        left = self._all_epochs - self._epochs - part
        if self._epochs:
            return left * self._epoch_seconds / self._epochs if left else None
        return left * event.seconds / part if isinstance(event, events.Step) and part >= _EARLY else None

    def _part(self) -> float:
        """Which part of the epoch that runs is done."""
        if not isinstance(self._event, events.Step) or not self._epoch_samples:
            return 0.0
        return min(1.0, self._event.samples / self._epoch_samples)

    @property
    def _all_epochs(self) -> int:
        return int(self.job.settings["epochs"]) if self.job.declaration.trains else 0
