"""Runs the reference: the NumPy workload in float64, by this program's own Python, on the job that cells have.

Its traces are the correct result, the differences that rounding alone causes, and those of each known mistake.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Collection
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
FRAMEWORK = "numpy"  # the implementation under workloads/ that all others are compared with


class ReferenceRuns:
    """Runs the reference once for each workload, into a folder of its own."""

    def __init__(
        self,
        request: preparation.Request,
        prepared: preparation.PreparedRun,
        folder: RunFolder,
        listener: Listener,
        only_mistakes: Collection[str] | None = None,
    ) -> None:
        folder.path.mkdir()
        self._only_mistakes = only_mistakes
        _, image = prepared.catalog.frameworks[FRAMEWORK]
        setup = Setup(root=request.root, cache=request.cache, pythons={image.name: Path(sys.executable)})
        engine = registry.connect("process", setup)
        self._prepared = prepared
        self._folder = folder
        self._crew = preparation.crew_for(request, folder, replace(prepared, engine=engine), Quiet(listener))
        self._references: dict[WorkloadName, ReferenceRun] = {}
        self._mistakes: dict[WorkloadName, dict[str, Trace]] = {}

    def reference(self, workload: WorkloadName) -> ReferenceRun:
        """Run the reference in float64, and several times in float32. Raises HostError when it fails."""
        if workload not in self._references:
            self._references[workload] = self._reference(workload)
        return self._references[workload]

    def mistakes(self, workload: WorkloadName) -> dict[str, Trace]:
        """The traces of the reference with each known mistake. One whose job fails is left out, with a warning."""
        if workload not in self._mistakes:
            found = {}
            for name in self._suspects(workload):
                result = self._run(self._job(workload), "fp64", plant=name)
                if result.failure is not None and result.failure.kind != "diverged":
                    _log.warning(
                        "%s failed, so no cell is compared with this mistake: %s", result.job.id, result.failure.message
                    )
                    continue
                found[name] = traces.read(self._folder, result)
            self._mistakes[workload] = found
        return self._mistakes[workload]

    def _suspects(self, workload: WorkloadName) -> list[str]:
        known = WORKLOADS[workload].traced_mistakes
        return [name for name in known if self._only_mistakes is None or name in self._only_mistakes]

    def _reference(self, workload: WorkloadName) -> ReferenceRun:
        job = self._job(workload)
        exact = self._run(job, "fp64")
        rounded = [self._run(job, "fp32", plant=name) for name in ("", *NUDGES)]
        trace = self._trace(exact)
        standstill = dropout.job(job, on=False)
        return ReferenceRun(
            trace=trace,
            envelope=parity.envelope(trace, [self._trace(each) for each in rounded]),
            initial=self._trace(self._run(standstill, "fp64")) if standstill else None,
            versions=dict(exact.start.versions) if exact.start else {},
        )

    def _job(self, workload: WorkloadName) -> Job:
        """The job that cells of `workload` have, planned for the reference."""
        chosen = self._prepared.spec.model_copy(
            update={"frameworks": (FRAMEWORK,), "workloads": (workload,), "ranks": 1}
        )
        (job,) = jobs.plan(chosen, self._prepared.catalog, "cpu")
        return job

    def _run(self, job: Job, precision: Precision, *, plant: str = "") -> Result:
        """Run `job` in this precision; `plant` names a change to it from workloads/mistakes/, empty for none."""
        changes: dict[str, object] = {"id": f"{job.id}-{plant or precision}", "precision": precision}
        if plant:
            changes["module"] = "mistakes"
            changes["command"] = f"python -m workloads.{{module}} {plant} {{workload}}"
        (result,) = self._crew.run([job.model_copy(update=changes)])
        return result

    def _trace(self, result: Result) -> Trace:
        """The trace of a job without a planted mistake. Raises HostError when the job failed."""
        if result.failure is not None:
            raise HostError(
                f"the reference cannot run {result.job.workload} here: {result.failure.message}",
                hint=f"see {self._folder.path / result.job.id}.log",
            )
        return traces.read(self._folder, result)
