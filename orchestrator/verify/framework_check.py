"""Runs the jobs of `rosetta check` for one framework, and the tests of conformance.py on their results.

The first jobs of a cell are those of `verify`, so they also give its certificate.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from orchestrator.engines.base import EngineError
from orchestrator.errors import OrchestratorError
from orchestrator.judge import dropout
from orchestrator.plan.catalog import Framework, Image
from orchestrator.plan.jobs import Job
from orchestrator.plan.workloads import MISTAKES
from orchestrator.record import fingerprint, run_folder
from orchestrator.record.provenance import EnvironmentFacts, environment_facts
from orchestrator.record.results import Result
from orchestrator.record.run_folder import RunFolder
from orchestrator.run import preparation
from orchestrator.run.crew import Crew
from orchestrator.run.listener import Listener, Quiet
from orchestrator.verify import conformance, passed, verifier
from orchestrator.verify.conformance import Finding
from orchestrator.verify.passed import PassedCell
from orchestrator.verify.verifier import VerifiedCell

_log = logging.getLogger(__name__)

# Enough epochs to notice a clock that does not wait for the device: a GPU takes only milliseconds for a step.
CLOCK_EPOCHS = {"cpu": 2, "gpu": 40}
EXPLOSION = 1e38  # a learning rate so large that the second loss is NaN or infinite
NO_PRECISION = "fp8"  # not supported by any workload


def before(root: Path, framework: Framework, image: Image) -> Iterator[Finding]:
    """The tests that need no image and no run."""
    yield conformance.workloads(framework)
    for variant, path in image.locks.items():
        if path.suffix == ".txt" and image.python is not None:  # a lock for pip
            yield conformance.lock(image, variant, path.read_text(encoding="utf-8"))
    for path in sorted((root / "workloads" / framework.module).glob("*.py")):
        yield conformance.syntax(path, path.read_text(encoding="utf-8"))


class FrameworkCheck:
    """The cells of one framework: those that have passed and did not change, and the tests of all others."""

    def __init__(self, request: preparation.Request, prepared: preparation.PreparedRun, *, again: bool) -> None:
        """`prepared` is the run of all cells. With `again`, cells that have passed run too."""
        self._request = request
        self._all = prepared
        self._code = fingerprint.inspect(request.root)
        kept = {} if again else self._passed()
        self.unchanged = [conformance.unchanged(record.workload, record.made[:10]) for record in kept.values()]
        jobs = [job for job in prepared.jobs if job.workload not in kept]
        self.prepared = replace(prepared, jobs=jobs)  # what has to run; it may be nothing

    def _passed(self) -> dict[str, PassedCell]:
        """The records of the cells that need not run, by workload."""
        found = {}
        for job in self._first_jobs(self._all):
            record = passed.read(self._results, job)
            if record is None:
                continue
            # Preparing an environment may take minutes: not where another change decides already.
            known = [name for name in record.depends if not name.startswith(passed.ENVIRONMENT)]
            now = self._depends(job, EnvironmentFacts())
            changed = [name for name in known if now.get(name) != record.depends[name]]
            changed = changed or passed.changed(record, self._depends(job, self._environment(job)))
            if changed:
                _log.info(
                    "%s passed on %s and runs again, for this changed: %s", job.id, record.made, ", ".join(changed)
                )
            else:
                found[job.workload] = record
        return found

    @property
    def _results(self) -> Path:
        """The folder that has certificates/ and checks/."""
        return self._request.results.parent

    @staticmethod
    def _first_jobs(prepared: preparation.PreparedRun) -> list[Job]:
        return [job for job in prepared.jobs if not dropout.is_second(job.id)]

    def _environment(self, job: Job) -> EnvironmentFacts:
        """What the environment of a job is now. Without any facts if it cannot be prepared: running it shows why."""
        _, image = self._all.catalog.frameworks[job.framework]
        engine = self._all.engine
        taken = engine.take(engine.nodes()[0], lambda: True)
        if taken is None:
            return EnvironmentFacts()
        try:
            return environment_facts(taken.prepare(image, "cuda" if job.device == "gpu" else "cpu").facts)
        except (OrchestratorError, EngineError):
            return EnvironmentFacts()
        finally:
            taken.close()

    def _depends(self, job: Job, environment: EnvironmentFacts) -> dict[str, str]:
        framework, image = self._all.catalog.frameworks[job.framework]
        return passed.depends_on(job, framework, image, self._all, self._code, environment)

    def by_running(self, folder: RunFolder, listener: Listener) -> Iterator[Finding]:
        """Run the jobs, test their results, and record the cells that pass.

        Raises HostError when the reference fails.
        """
        verified = verifier.Verifier(self._request, folder, self.prepared, listener).run()
        cells = {cell.workload: cell for cell in verified}
        crew = preparation.crew_for(self._request, folder, self.prepared, Quiet(listener))
        for job in self._first_jobs(self.prepared):
            first = folder.read_result(job.id)
            if first is None:
                continue
            findings = list(self._cell(first, cells[job.workload], crew, folder))
            yield from findings
            if all(finding.ok for finding in findings):
                self._record(first, folder)
        yield conformance.took(_since_first_job(folder))

    def _cell(self, first: Result, cell: VerifiedCell, crew: Crew, folder: RunFolder) -> Iterator[Finding]:
        """The tests of one cell; `first` is the result that was verified."""
        job = first.job
        yield conformance.runs(first)
        if first.failure is not None or cell.envelope is None:
            return
        yield conformance.versions(first, *self._all.catalog.frameworks[job.framework])
        yield conformance.agrees(job.workload, cell.parity, [MISTAKES[name].sentence for name in cell.parity.culprits])
        further = crew.run(list(_further(job)))
        if job.declaration.trains:
            again, diverges = further
            yield conformance.repeats(job.workload, first.figures, again.figures, cell.envelope)
            yield _clock(again, crew, folder)
            advice = "pass the loss of the batch to epoch.step, which stops a training whose loss is NaN or infinite"
            yield conformance.fails(diverges, "diverged", "notices a loss of NaN or infinity", advice)
        else:
            (refuses,) = further
            yield _clock(first, crew, folder)
            advice = "raise NotImplementedError for what the framework cannot do, before the first batch"
            yield conformance.fails(refuses, "unsupported", "refuses what it cannot do", advice)

    def _record(self, first: Result, folder: RunFolder) -> None:
        """Record that a cell passed, unless its environment is not pinned, or its code changed meanwhile."""
        job, provenance = first.job, first.provenance
        same_code = provenance.code.parts_sha256 == self._code.modules.get(job.module)
        if same_code and not provenance.environment.given_by_user:
            passed.write(self._results, job, self._depends(job, provenance.environment), folder.id, run_folder.now())


def _clock(result: Result, crew: Crew, folder: RunFolder) -> Finding:
    """Test the clock of a job. If it fails, it is tested again: on a busy machine events may be late by chance."""
    finding = conformance.clock(result, folder.events(result.job.id))
    if finding.ok:
        return finding
    (second,) = crew.run([result.job.model_copy(update={"id": f"{result.job.id}-clock"})])
    return conformance.clock(second, folder.events(second.job.id))


def _further(job: Job) -> Iterator[Job]:
    """The further jobs of a cell, in the order in which `_cell` takes their results."""

    def another(purpose: str, **changes: object) -> Job:
        return job.model_copy(update={"id": f"{job.id}-{purpose}", **changes})

    if not job.declaration.trains:
        yield another("refuses", precision=NO_PRECISION)
        return
    # Starting and compiling take most of a job's time here, so one job serves two tests. Its first epoch repeats that
    # of the first job; and it has no trace, so nothing waits for the device between two steps.
    yield another("again", trace=0, settings={**job.settings, "epochs": CLOCK_EPOCHS[job.device]})
    yield another("diverges", trace=0, settings={**job.settings, "lr": EXPLOSION})


def _since_first_job(folder: RunFolder) -> float:
    """Seconds since the first job began; all images were built before."""
    now = datetime.datetime.now(datetime.timezone.utc)
    began = min((datetime.datetime.fromisoformat(result.began) for result in folder.results()), default=now)
    return (now - began).total_seconds()
