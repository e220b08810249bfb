"""The interface to the progress display. Messages and output of builds go to the standard `logging` instead."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

from orchestrator import signals
from orchestrator.plan.jobs import Job
from orchestrator.record.events import Event
from orchestrator.record.results import Result


class Lane(Protocol):
    """Follows what happens on one node. Calls are short and never raise."""

    def preparing(self, what: str) -> None:
        """An image is built, an environment made, a dataset prepared: it may take minutes."""

    def job_started(self, job: Job, number: int, total: int, epoch_samples: int | None) -> None:
        """Job `number` of `total` (from 1) begins; a training epoch has `epoch_samples`."""

    def job_event(self, job: Job, event: Event) -> None:
        """An event of a job has arrived."""

    def job_finished(self, result: Result) -> None:
        """A job has ended and its result is on disk."""

    def close(self) -> None:
        """Nothing more happens on this node."""


class Listener(Protocol):
    """Follows a whole run. One thread at a time calls it or one of its lanes."""

    def planned(self, jobs: Sequence[Job]) -> None:
        """These jobs follow, after those that were planned before."""

    def preparing(self, what: str) -> None:
        """Something for the whole run is prepared."""

    def job_finished(self, result: Result) -> None:
        """A job has a result without having run on a node, and that result is on disk."""

    def lane(self, node: str) -> Lane:
        """A lane for the node of this name; the name is empty where the only node is this machine."""


class NodeLane:
    """A lane for the thread of one node, which calls the listener while it holds `lock`.

    No signal interrupts a call: one that left a lock of the display behind would let its thread wait for ever.
    """

    def __init__(self, lane: Lane, lock: threading.Lock) -> None:
        self._lane = lane
        self._lock = lock
        self.measuring = False  # whether a job of the node has sent an event and has not ended

    def preparing(self, what: str) -> None:
        with signals.deferred(), self._lock:
            self._lane.preparing(what)

    def job_started(self, job: Job, number: int, total: int, epoch_samples: int | None) -> None:
        with signals.deferred(), self._lock:
            self._lane.job_started(job, number, total, epoch_samples)

    def job_event(self, job: Job, event: Event) -> None:
        self.measuring = True  # not earlier: a job that was started may still wait for its turn on a GPU
        with signals.deferred(), self._lock:
            self._lane.job_event(job, event)

    def job_finished(self, result: Result) -> None:
        with signals.deferred(), self._lock:
            self._lane.job_finished(result)

    def close(self) -> None:
        with signals.deferred(), self._lock:
            self._lane.close()


class Quiet:
    """A listener for jobs that serve a run and are not its own: what they do is shown, and not that they have ended."""

    def __init__(self, listener: Listener) -> None:
        self.preparing = listener.preparing
        lane = listener.lane("")
        self.job_started, self.job_event, self.close = lane.job_started, lane.job_event, lane.close

    def planned(self, jobs: Sequence[Job]) -> None: ...

    def lane(self, node: str) -> Quiet:  # noqa: ARG002
        return self

    def job_finished(self, result: Result) -> None:  # noqa: ARG002
        self.close()
