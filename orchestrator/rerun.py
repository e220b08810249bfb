"""Measures a stored job again on this machine, once everything that must be the same is known to be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from orchestrator import bench, catalog, code, host, images, inputs, reproduce
from orchestrator.catalog import Image
from orchestrator.errors import BuildError, DataError, HostError
from orchestrator.plan import Job
from orchestrator.reproduce import Verdict
from orchestrator.results import Provenance, Result
from orchestrator.runner import Listener
from orchestrator.store import RunFolder


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A repetition that nothing stands in the way of."""

    originals: Sequence[Result]
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
    request = replace(request, told=reproduce.spec_of(original, repeats, host.inspect().gpus))
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
    return Ready(originals=originals, request=request, prepared=prepared)


def run(
    ready: Ready,
    folder: RunFolder,
    listener: Listener,
    notify: Callable[[str], None],
    *,
    allow_different_code: bool,
) -> Verdict:
    """Run the repeats into `folder` and judge them."""
    repeats = bench.run(ready.request, folder, ready.prepared, listener, notify)
    return reproduce.verdict(ready.originals, repeats, allow_different_code=allow_different_code)


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
        environment=_environment(request, image, original),
        code=code.of_module(code.facts(request.root), job.module),
        host=prepared.host.facts(),
        data=store.for_job(job).facts,
    )


def _environment(request: bench.Request, image: Image, original: Result) -> dict[str, str]:
    """What the environment would be made from, by sha256; nothing where a person gives an interpreter."""
    variant = str(original.provenance.environment.get("variant"))
    if image.name in request.pythons or variant not in image.locks:
        return {}
    return {
        "lock_sha256": images.lock_sha256(image, variant),
        reproduce.RECIPE: images.recipe_sha256(image, variant),
    }
