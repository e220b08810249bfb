"""What the threads of a crew share: one listener, one maker of inputs, each used by one thread at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable

from orchestrator.engines.base import NodeEngine
from orchestrator.inputs import job_inputs
from orchestrator.plan.jobs import Job
from orchestrator.record.events import Event
from orchestrator.record.results import Result
from orchestrator.run.runner import InputsFor, Lanes, Listener


class Locked:
    """A listener that many threads may call."""

    def __init__(
        self, listener: Listener, lock: threading.Lock | None = None, close: Callable[[], None] | None = None
    ) -> None:
        self._listener = listener
        self._lock = lock or threading.Lock()
        self._close = close

    def preparing(self, what: str) -> None:
        with self._lock:
            self._listener.preparing(what)

    def log(self, line: str) -> None:
        with self._lock:
            self._listener.log(line)

    def notice(self, text: str) -> None:
        with self._lock:
            self._listener.notice(text)

    def job_started(self, job: Job, number: int, total: int, epoch_samples: int | None) -> None:
        with self._lock:
            self._listener.job_started(job, number, total, epoch_samples)

    def job_event(self, job: Job, event: Event) -> None:
        with self._lock:
            self._listener.job_event(job, event)

    def job_finished(self, result: Result) -> None:
        with self._lock:
            self._listener.job_finished(result)

    def lane(self, node: str) -> Locked:
        """Who hears what happens on a node."""
        if not isinstance(self._listener, Lanes):
            return self
        made = self._listener.lane(node)
        return Locked(made, self._lock, made.close)

    def close(self) -> None:
        """Where it is a lane: nothing happens there any more."""
        if self._close is not None:
            with self._lock:
                self._close()


class NodeListener:
    """A node's listener, which also knows whether a job is measured there now."""

    def __init__(self, listener: Locked) -> None:
        self.measuring = False
        self.close = listener.close
        self.preparing = listener.preparing
        self.log = listener.log
        self.notice = listener.notice
        self.job_started = listener.job_started
        self.job_finished = listener.job_finished
        self._event = listener.job_event

    def job_event(self, job: Job, event: Event) -> None:
        self.measuring = True  # not earlier: a job that was started may yet wait for a GPU's turn on its node
        self._event(job, event)


class OneAtATime:
    """This machine's inputs, for many threads."""

    def __init__(self, store: InputsFor) -> None:
        self._store = store
        self._lock = threading.Lock()

    def for_job(self, job: Job) -> job_inputs.Inputs:
        with self._lock:
            return self._store.for_job(job)


class OnNode:
    """Inputs that a node makes for itself; they have to be what this machine would give the job."""

    def __init__(self, here: InputsFor, engine: NodeEngine) -> None:
        self._here = here
        self._engine = engine

    def for_job(self, job: Job) -> job_inputs.Inputs:
        return self._engine.inputs(job, self._here.for_job(job).facts)
