"""Measures a stored job again on this machine, after checking that everything that must be the same is the same."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchestrator.engines.docker import images
from orchestrator.errors import BuildError, DataError, HostError, OrchestratorError
from orchestrator.host import machine
from orchestrator.inputs import job_inputs, sizes
from orchestrator.judge import reproduction, same_job, stored_jobs
from orchestrator.judge.reproduction import ReproductionVerdict
from orchestrator.plan import catalog
from orchestrator.plan.catalog import Image
from orchestrator.plan.jobs import Job
from orchestrator.record import fingerprint
from orchestrator.record.provenance import EnvironmentFacts, host_facts
from orchestrator.record.results import Provenance, Result
from orchestrator.record.run_folder import RunFolder
from orchestrator.run import cost, preparation
from orchestrator.run.cost import Cost
from orchestrator.run.listener import Listener

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PlannedRepetition:
    """A repetition that is possible as far as it is known before its inputs are made."""

    originals: Sequence[Result]
    request: preparation.Request
    prepared: preparation.PreparedRun


class ReadyRepetition(PlannedRepetition):
    """A repetition that can run: its inputs are there, and they are those of the stored job."""


def plan(
    request: preparation.Request,
    originals: Sequence[Result],
    repeats: int,
    *,
    allow_different_code: bool,
) -> PlannedRepetition | ReproductionVerdict:
    """Find what makes the repetition impossible before anything is made or runs. Raises StoreError."""
    original = originals[0]
    reason = reproduction.unusable(originals) or _unknown(catalog.load(request.root), original.job)
    if reason:
        return ReproductionVerdict(word="CANNOT", why=reason)
    request = replace(request, given_spec=stored_jobs.spec_of(original, repeats, machine.inspect().gpus))
    try:
        prepared = preparation.prepare(request)
        here = _here(request, prepared, original)
    except (HostError, DataError, BuildError) as error:
        return _cannot(error)
    reasons = []
    if not allow_different_code:
        reasons += same_job.code_differences(original.provenance, here)
        reasons += same_job.job_differences(original.job, prepared.jobs[0])
    if reasons:
        return ReproductionVerdict(word="CANNOT", why="; ".join(reasons))
    return PlannedRepetition(originals=originals, request=request, prepared=prepared)


def cost_of(planned: Sequence[PlannedRepetition]) -> Cost:
    """What the repetitions cost: the inputs that are not there yet, and the time by the stored figures."""
    inputs, seconds = [], 0.0
    for each in planned:
        jobs = each.prepared.jobs
        inputs += sizes.of_jobs(jobs, each.prepared.spec.dataset, each.request.cache)
        seconds += cost.seconds_of(each.originals, jobs)
    if not planned:
        return Cost()
    needed = cost.of_inputs(inputs, planned[0].request.cache)
    return replace(needed, seconds=needed.seconds + seconds)


def make_inputs(planned: PlannedRepetition) -> ReadyRepetition | ReproductionVerdict:
    """Make the inputs on this machine, and compare them with those of the stored job."""
    request, prepared = planned.request, planned.prepared
    store = job_inputs.Store(cache=request.cache, choice=prepared.spec.dataset)
    try:
        facts = store.for_job(prepared.jobs[0]).facts
    except DataError as error:
        return _cannot(error)
    if reasons := same_job.data_differences(planned.originals[0].provenance.data, facts):
        return ReproductionVerdict(word="CANNOT", why="; ".join(reasons))
    return ReadyRepetition(originals=planned.originals, request=request, prepared=prepared)


def _cannot(error: OrchestratorError) -> ReproductionVerdict:
    return ReproductionVerdict(word="CANNOT", why=error.message + (f" ({error.hint})" if error.hint else ""))


def run(
    ready: ReadyRepetition,
    folder: RunFolder,
    listener: Listener,
    *,
    allow_different_code: bool,
) -> ReproductionVerdict:
    """Run the repeats into `folder` and judge them."""
    repeats = preparation.run(ready.request, folder, ready.prepared, listener)
    return reproduction.verdict(ready.originals, repeats, allow_different_code=allow_different_code)


def _unknown(known: catalog.Catalog, job: Job) -> str:
    """Why this checkout has no such job; empty when it has."""
    if job.framework not in known.frameworks:
        return f"this version has no framework {job.framework[:60]!r}"
    if job.workload not in known.frameworks[job.framework][0].workloads:
        return f"{job.framework} has no {job.workload} in this version"
    return ""


def _here(request: preparation.Request, prepared: preparation.PreparedRun, original: Result) -> Provenance:
    """The provenance that a repetition on this machine would have, but for its data, before anything is made."""
    job = prepared.jobs[0]
    _, image = prepared.catalog.frameworks[job.framework]
    return Provenance(
        engine=prepared.engine.name,
        environment=_environment(request, image, original),
        code=fingerprint.of_module(fingerprint.inspect(request.root), job.module),
        host=host_facts(prepared.host, {}, ()),
    )


def _environment(request: preparation.Request, image: Image, original: Result) -> EnvironmentFacts:
    """What the environment would be made from, by sha256; empty where the user gives an interpreter."""
    variant = original.provenance.environment.variant
    if image.name in request.pythons or variant is None or variant not in image.locks:
        return EnvironmentFacts()
    return EnvironmentFacts(
        lock_sha256=images.lock_sha256(image, variant), recipe_sha256=images.recipe_sha256(image, variant)
    )
