"""Measures a stored job again on this machine, after checking that everything that must be the same is the same."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchestrator.engines.docker import images
from orchestrator.errors import BuildError, DataError, HostError
from orchestrator.host import machine
from orchestrator.inputs import job_inputs
from orchestrator.judge import reproduction, same_job, stored_jobs
from orchestrator.judge.reproduction import ReproductionVerdict
from orchestrator.plan import catalog
from orchestrator.plan.catalog import Image
from orchestrator.plan.jobs import Job
from orchestrator.record import fingerprint
from orchestrator.record.provenance import EnvironmentFacts, host_facts
from orchestrator.record.results import Provenance, Result
from orchestrator.record.run_folder import RunFolder
from orchestrator.run import preparation
from orchestrator.run.listener import Listener

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ReadyRepetition:
    """A repetition that can run."""

    originals: Sequence[Result]
    request: preparation.Request
    prepared: preparation.PreparedRun


def prepare(
    request: preparation.Request,
    originals: Sequence[Result],
    repeats: int,
    *,
    allow_different_code: bool,
) -> ReadyRepetition | ReproductionVerdict:
    """Find everything that makes the repetition impossible before anything runs. Raises StoreError."""
    original = originals[0]
    reason = reproduction.unusable(originals) or _unknown(catalog.load(request.root), original.job)
    if reason:
        return ReproductionVerdict(word="CANNOT", why=reason)
    request = replace(request, given_spec=stored_jobs.spec_of(original, repeats, machine.inspect().gpus))
    try:
        prepared = preparation.prepare(request)
        here = _here(request, prepared, original)
    except (HostError, DataError, BuildError) as error:
        return ReproductionVerdict(word="CANNOT", why=error.message + (f" ({error.hint})" if error.hint else ""))
    reasons = same_job.data_differences(original.provenance, here)
    if not allow_different_code:
        reasons += same_job.code_differences(original.provenance, here)
        reasons += same_job.job_differences(original.job, prepared.jobs[0])
    if reasons:
        return ReproductionVerdict(word="CANNOT", why="; ".join(reasons))
    return ReadyRepetition(originals=originals, request=request, prepared=prepared)


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
        return f"this checkout has no framework {job.framework[:60]!r}"
    if job.workload not in known.frameworks[job.framework][0].workloads:
        return f"{job.framework} has no {job.workload} in this checkout"
    return ""


def _here(request: preparation.Request, prepared: preparation.PreparedRun, original: Result) -> Provenance:
    """The provenance that a repetition on this machine would have, as far as it is known before it runs."""
    job = prepared.jobs[0]
    _, image = prepared.catalog.frameworks[job.framework]
    store = job_inputs.Store(cache=request.cache, choice=prepared.spec.dataset)
    return Provenance(
        engine=prepared.engine.name,
        environment=_environment(request, image, original),
        code=fingerprint.of_module(fingerprint.inspect(request.root), job.module),
        host=host_facts(prepared.host, {}, ()),
        data=store.for_job(job).facts,
    )


def _environment(request: preparation.Request, image: Image, original: Result) -> EnvironmentFacts:
    """What the environment would be made from, by sha256; empty where the user gives an interpreter."""
    variant = original.provenance.environment.variant
    if image.name in request.pythons or variant is None or variant not in image.locks:
        return EnvironmentFacts()
    return EnvironmentFacts(
        lock_sha256=images.lock_sha256(image, variant), recipe_sha256=images.recipe_sha256(image, variant)
    )
