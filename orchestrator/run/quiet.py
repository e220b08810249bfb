"""A listener for jobs that serve a run without being its own: the reference's, or those that have to fail."""

from __future__ import annotations

from orchestrator.plan.jobs import Job
from orchestrator.record.events import Event
from orchestrator.record.results import Result
from orchestrator.run.runner import Listener


class Quiet:
    """Shows such jobs as something that is prepared, and says nothing about how they end."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.preparing = listener.preparing
        self.log = listener.log
        self.notice = listener.notice

    def job_started(self, job: Job, number: int, total: int, epoch_samples: int | None) -> None:  # noqa: ARG002
        self._listener.preparing(job.id)

    def job_event(self, job: Job, event: Event) -> None: ...

    def job_finished(self, result: Result) -> None: ...
