"""The oracle: the reference workload in float64, run by this program's own Python on the job that cells have.

It says what is right, how far rounding alone leads away from that, and where each known mistake would lead.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path

from orchestrator.engines import registry
from orchestrator.engines.registration import Setup
from orchestrator.errors import HostError
from orchestrator.judge import dropout, parity, traces
from orchestrator.judge.parity import ReferenceRun, Trace
from orchestrator.plan import jobs
from orchestrator.plan.jobs import Job
from orchestrator.plan.spec import Precision, WorkloadName
from orchestrator.plan.workloads import WORKLOADS
from orchestrator.record.results import Result
from orchestrator.record.run_folder import RunFolder
from orchestrator.run import preparation
from orchestrator.run.listener import Listener, Quiet

_log = logging.getLogger(__name__)

NUDGES = tuple(f"nudged-{draw}" for draw in range(1, 5))  # of workloads/mistakes/nudges.py
FRAMEWORK = "numpy"  # the one under workloads/ that the others are held to


def suspects(workload: str) -> tuple[str, ...]:
    """The mistakes that a diverging cell of this workload is compared with."""
    return WORKLOADS[workload].traced_mistakes


class Oracle:
    """Runs the oracle into a folder of its own, each job once."""

    def __init__(
        self,
        request: preparation.Request,
        prepared: preparation.PreparedRun,
        folder: RunFolder,
        listener: Listener,
    ) -> None:
        folder.path.mkdir()
        _, image = prepared.catalog.frameworks[FRAMEWORK]
        setup = Setup(root=request.root, cache=request.cache, pythons={image.name: Path(sys.executable)})
        engine = registry.connect("process", setup)
        self._prepared = prepared
        self._folder = folder
        self._crew = preparation.crew_for(request, folder, replace(prepared, engine=engine), Quiet(listener))
        self._references: dict[WorkloadName, ReferenceRun] = {}
        self._mistakes: dict[WorkloadName, dict[str, Trace]] = {}

    def reference(self, workload: WorkloadName) -> ReferenceRun:
        """Run it in float64, and in float32 as often as the envelope needs. Raises HostError when it cannot."""
        if workload not in self._references:
            self._references[workload] = self._reference(workload)
        return self._references[workload]

    def mistakes(self, workload: WorkloadName) -> dict[str, Trace]:
        """What it computes with each of the known mistakes. Those that it cannot run are left out, with a notice."""
        if workload not in self._mistakes:
            found = {}
            for name in suspects(workload):
                result = self._ask(self._job(workload), "fp64", plant=name)
                if result.failure is not None and result.failure.kind != "diverged":
                    _log.warning("%s cannot be compared with: %s", result.job.id, result.failure.message)
                    continue
                found[name] = traces.read(self._folder, result)
            self._mistakes[workload] = found
        return self._mistakes[workload]

    def _reference(self, workload: WorkloadName) -> ReferenceRun:
        job = self._job(workload)
        exact = self._ask(job, "fp64")
        rounded = [self._ask(job, "fp32", plant=name) for name in ("", *NUDGES)]
        oracle = self._trace(exact)
        standstill = dropout.job(job, on=False)
        return ReferenceRun(
            oracle=oracle,
            envelope=parity.envelope(oracle, [self._trace(each) for each in rounded]),
            initial=self._trace(self._ask(standstill, "fp64")) if standstill else None,
            versions=dict(exact.start.versions) if exact.start else {},
        )

    def _job(self, workload: WorkloadName) -> Job:
        """The job that cells of `workload` have, for the oracle."""
        told = self._prepared.spec.model_copy(update={"frameworks": (FRAMEWORK,), "workloads": (workload,)})
        (job,) = jobs.plan(told, self._prepared.catalog, "cpu")
        return job

    def _ask(self, job: Job, precision: Precision, *, plant: str = "") -> Result:
        """Run `job` in this precision, with one of the plants of workloads/mistakes/ where it is named."""
        changes: dict[str, object] = {"id": f"{job.id}-{plant or precision}", "precision": precision}
        if plant:
            changes["command"] = f"python -m workloads.mistakes {plant} {{workload}}"
        (result,) = self._crew.run([job.model_copy(update=changes)])
        return result

    def _trace(self, result: Result) -> Trace:
        """The trace of a job that makes no mistake. Raises HostError when it failed."""
        if result.failure is not None:
            raise HostError(
                f"the reference cannot run {result.job.workload} here: {result.failure.message}",
                hint=f"see {self._folder.path / result.job.id}.log",
            )
        return traces.read(self._folder, result)
