"""Runs jobs on one node, one at a time. A job that fails is a result like any other, and the run goes on."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from orchestrator.engines.base import TakenNode
from orchestrator.plan.jobs import Job
from orchestrator.record.results import FINAL, Result
from orchestrator.run.attempt import Attempt, RunContext
from orchestrator.run.environments import Environments
from orchestrator.run.halt import Halt
from orchestrator.run.listener import Lane

_log = logging.getLogger(__name__)


class Runner:
    """Runs jobs on a node that was taken, and stores their results."""

    def __init__(self, run: RunContext, taken: TakenNode, lane: Lane, halt: Halt) -> None:
        self._run = run
        self._taken = taken
        self._lane = lane
        self._halt = halt
        self._environments = Environments(run.catalog, taken, lane)

    def prepare(self, jobs: Iterable[Job]) -> None:
        """Prepare the environments of all `jobs` now, so that no build disturbs a clock later. Raises EngineError."""
        for job in jobs:
            self._environments.of(job)

    def run_job(self, job: Job, number: int, total: int, retries: int) -> tuple[Result, int]:
        """Run job `number` of `total`, and up to `retries` times again where that can help.

        Returns the result of the last attempt and how many retries are left. When the node was lost, no further
        attempt is made here.
        """
        folder = self._run.folder
        while True:
            attempt = Attempt(self._run, self._taken, job, lane=self._lane, halt=self._halt)
            result = attempt.run(self._environments, number, total)
            failure = result.failure
            if failure is None or failure.kind in FINAL or not retries:
                return result, retries
            if failure.kind == "node":
                folder.set_aside(job.id)  # so that --resume makes the next attempt, should the run end before it
                return result, retries
            _log.warning("%s failed: %s; trying again (%d left)", job.id, failure.message, retries)
            retries -= 1
