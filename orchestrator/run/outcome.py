"""How a job went becomes its result, in whatever way it ended."""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping

from orchestrator.engines.base import Exit, Observations
from orchestrator.errors import BuildError, DataError, DiskError, OrchestratorError, PullError, StoreError
from orchestrator.host.neighbours import Neighbour
from orchestrator.plan.jobs import Job
from orchestrator.record.events import Start
from orchestrator.record.figures import Figures
from orchestrator.record.results import Failure, FailureKind, Provenance, Result, Status
from orchestrator.record.run_folder import RunFolder
from orchestrator.record.telemetry import Telemetry
from orchestrator.run.conversation import Conversation


class Outcome:
    """Collects what the result of one attempt needs."""

    def __init__(self, run: str, job: Job, attempt: int, provenance: Provenance) -> None:
        """`run` is the id of the run."""
        self._run = run
        self._job = job
        self._attempt = attempt
        self.provenance = provenance
        self._telemetry: Telemetry | None = None
        self._neighbours: tuple[Neighbour, ...] = ()
        self.clock_starts()

    def clock_starts(self) -> None:
        """From now on time counts as the job's."""
        self._began = datetime.datetime.now(datetime.timezone.utc)
        self._clock = time.monotonic()

    def waited(self, seconds: float) -> None:
        """The first `seconds` of that time were spent waiting for a GPU that another job had: they do not count."""
        self._began += datetime.timedelta(seconds=seconds)
        self._clock += seconds

    def observed(self, observations: Observations, telemetry: Telemetry) -> None:
        """What was measured beside the job."""
        self._telemetry = telemetry
        self._neighbours = observations.neighbours

    def failed(self, failure: Failure) -> Result:
        """The result of a job that never ran."""
        return self._result(_status(failure), failure, None, Figures(), None)

    def broken_off(self, failure: Failure, conversation: Conversation) -> Result:
        """The result of a job that could not be run to its end, with the end of its log."""
        failure = conversation.failure_of(failure.kind, failure.message, failure.hint)
        collector = conversation.collector
        return self._result(_status(failure), failure, collector.start, collector.figures(), None)

    def ended(self, conversation: Conversation, exit_: Exit, failure: Failure | None) -> Result:
        """The result of a job that ran until it ended or was stopped."""
        status: Status = "ok" if failure is None else _status(failure)
        collector = conversation.collector
        return self._result(status, failure, collector.start, collector.figures(), exit_.code)

    def _result(
        self, status: Status, failure: Failure | None, start: Start | None, figures: Figures, code: int | None
    ) -> Result:
        return Result(
            run=self._run,
            job=self._job,
            attempt=self._attempt,
            status=status,
            failure=failure,
            start=start,
            figures=figures,
            provenance=self.provenance,
            began=self._began.isoformat(timespec="seconds"),
            seconds=time.monotonic() - self._clock,
            exit_code=code,
            telemetry=self._telemetry,
            neighbours=self._neighbours,
        )


def unrun(folder: RunFolder, job: Job, why: Failure, provenance: Provenance) -> Result:
    """Store that `job` was not run, and why; returns its result."""
    result = Outcome(folder.id, job, folder.set_aside(job.id), provenance).failed(why)
    folder.write_result(result)
    return result


def kind_of(error: OrchestratorError) -> FailureKind:
    """The failure class of a job that could not be prepared."""
    kinds: Mapping[type[OrchestratorError], FailureKind] = {
        PullError: "pull",
        BuildError: "build",
        DataError: "data",
        DiskError: "disk",
        StoreError: "disk",
    }
    return next((kind for type_, kind in kinds.items() if isinstance(error, type_)), "environment")


def _status(failure: Failure) -> Status:
    statuses: Mapping[FailureKind, Status] = {
        "interrupted": "interrupted",
        "incompatible": "skipped",
        "timeout": "timeout",
    }
    return statuses.get(failure.kind, "failed")
