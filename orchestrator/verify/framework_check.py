"""Runs the jobs of `orchestrator check` for one framework, and the tests of conformance.py on their results."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

from orchestrator.judge import dropout
from orchestrator.plan.catalog import Framework, Image
from orchestrator.plan.jobs import Job
from orchestrator.plan.spec import Override
from orchestrator.plan.workloads import MISTAKES
from orchestrator.record.certificates import Envelope
from orchestrator.record.results import Result
from orchestrator.record.run_folder import RunFolder
from orchestrator.run import preparation
from orchestrator.run.listener import Listener, Quiet
from orchestrator.verify import conformance, verifier
from orchestrator.verify.conformance import Finding

STEPS = 5  # of training that are compared with the reference
# Enough epochs to notice a clock that does not wait for the device: a GPU takes only milliseconds for a step.
CLOCK_EPOCHS = {"cpu": 2, "gpu": 40}
EXPLOSION = 1e38  # a learning rate so large that the second loss is NaN or infinite
NO_PRECISION = "fp8"  # not supported by any workload


def request(base: preparation.Request, framework: str, overrides: list[Override]) -> preparation.Request:
    """The request for the runs that check `framework`."""
    named = Override(path=("frameworks",), value=[framework], origin="FRAMEWORK")
    return verifier.request(base, STEPS, [*overrides, named])


def before(root: Path, framework: Framework, image: Image) -> Iterator[Finding]:
    """The tests that need no image and no run."""
    yield conformance.workloads(framework)
    for variant, path in image.locks.items():
        if path.suffix == ".txt":  # a lock for pip
            yield conformance.lock(image, variant, path.read_text(encoding="utf-8"))
    for path in sorted((root / "workloads" / framework.module).glob("*.py")):
        yield conformance.syntax(path, path.read_text(encoding="utf-8"))


def by_running(
    request: preparation.Request,
    prepared: preparation.PreparedRun,
    folder: RunFolder,
    listener: Listener,
) -> Iterator[Finding]:
    """Run the jobs of one framework and test their results. Raises HostError when the reference fails."""
    verified = verifier.Verifier(request, folder, prepared, listener, certify=False).run()
    cells = {cell.workload: cell for cell in verified}
    crew = preparation.crew_for(request, folder, prepared, Quiet(listener))
    for job in prepared.jobs:
        first = folder.read_result(job.id)
        if first is None or dropout.is_second(job.id):
            continue
        yield conformance.runs(first)
        cell = cells[job.workload]
        if first.failure is not None or cell.envelope is None:
            continue
        framework, image = prepared.catalog.frameworks[job.framework]
        yield conformance.versions(first, framework, image)
        yield conformance.agrees(job.workload, cell.parity, [MISTAKES[name].sentence for name in cell.parity.culprits])
        further = crew.run(list(_further(job)))
        if job.declaration.trains:
            yield from _training(cell.envelope, folder, first, *further)
        else:
            yield from _inference(folder, first, *further)
    yield conformance.took(_since_first_job(folder))


def _inference(folder: RunFolder, first: Result, refuses: Result) -> Iterator[Finding]:
    yield conformance.clock(first, folder.events(first.job.id))
    advice = "raise NotImplementedError for what the framework cannot do, before the first batch"
    yield conformance.fails(refuses, "unsupported", "refuses what it cannot do", advice)


def _training(
    allowed: Envelope, folder: RunFolder, first: Result, again: Result, diverges: Result
) -> Iterator[Finding]:
    yield conformance.repeats(first.job.workload, first.figures, again.figures, allowed)
    yield conformance.clock(again, folder.events(again.job.id))
    advice = "pass the loss of the batch to epoch.step, which stops a training whose loss is NaN or infinite"
    yield conformance.fails(diverges, "diverged", "notices a loss of NaN or infinity", advice)


def _further(job: Job) -> Iterator[Job]:
    """The further jobs of a cell, in the order in which _inference and _training take their results."""

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
