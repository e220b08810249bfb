"""Measures a stored job again on this machine, once everything that must be the same is known to be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from orchestrator import bench, catalog, code, inputs, reproduce
from orchestrator.catalog import Image
from orchestrator.errors import BuildError, DataError, HostError
from orchestrator.files import sha256_of
from orchestrator.plan import Job
from orchestrator.reproduce import Verdict
from orchestrator.results import Provenance, Result
from orchestrator.runner import Listener
from orchestrator.store import RunFolder


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A repetition that nothing stands in the way of."""

    request: bench.Request
    prepared: bench.Prepared


def prepare(
    request: bench.Request,
    originals: Sequence[Result],
    repeats: int,
    notify: Callable[[str], None],
    *,
    allow_different_code: bool,
) -> Ready | Verdict:
    """Look for everything that makes the repetition impossible before anything runs. Raises StoreError."""
    original = originals[0]
    reason = reproduce.unusable(originals) or _unknown(catalog.load(request.root), original.job)
    if reason:
        return Verdict(word="CANNOT", why=reason)
    request = replace(request, told=reproduce.spec_of(original, repeats))
    try:
        prepared = bench.prepare(request, notify)
        here = _here(request, prepared, original, notify)
    except (HostError, DataError, BuildError) as error:
        return Verdict(word="CANNOT", why=error.message + (f" ({error.hint})" if error.hint else ""))
    reasons = reproduce.data_differences(original.provenance, here)
    if not allow_different_code:
        reasons += reproduce.code_differences(original.provenance, here)
        reasons += reproduce.job_differences(original.job, prepared.jobs[0])
    if reasons:
        return Verdict(word="CANNOT", why="; ".join(reasons))
    return Ready(request=request, prepared=prepared)


def run(
    ready: Ready,
    originals: Sequence[Result],
    folder: RunFolder,
    listener: Listener,
    notify: Callable[[str], None],
    *,
    allow_different_code: bool,
) -> Verdict:
    """Run the repeats into `folder` and judge them."""
    repeats = bench.run(ready.request, folder, ready.prepared, listener, notify)
    return reproduce.verdict(originals, repeats, allow_different_code=allow_different_code)


def _unknown(known: catalog.Catalog, job: Job) -> str:
    """Why this checkout has no such job; empty when it has."""
    if job.framework not in known.frameworks:
        return f"this checkout has no framework {job.framework[:60]!r}"
    if job.workload not in known.frameworks[job.framework][0].workloads:
        return f"{job.framework} has no {job.workload} in this checkout"
    return ""


def _here(
    request: bench.Request, prepared: bench.Prepared, original: Result, notify: Callable[[str], None]
) -> Provenance:
    """What a repetition on this machine would have for provenance, as far as that can be told before it runs."""
    job = prepared.jobs[0]
    _, image = prepared.catalog.frameworks[job.framework]
    store = inputs.Store(cache=request.cache, choice=prepared.spec.dataset, notify=notify)
    return Provenance(
        engine=prepared.engine.name,
        environment={"lock_sha256": _lock(request, image, original)},
        code=code.of_module(code.facts(request.root), job.module),
        host=prepared.host.facts(),
        data=store.for_job(job).facts,
    )


def _lock(request: bench.Request, image: Image, original: Result) -> str | None:
    """The sha256 of the lock that the environment would be made from; None where a person gives an interpreter."""
    if image.name in request.pythons:
        return None
    lock = image.locks.get(str(original.provenance.environment.get("variant")))
    return None if lock is None else sha256_of(lock)
