"""What must be equal before a stored job and its repetition can be compared, and what may differ. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.host import quotas
from orchestrator.judge.software import TITLES, differences, software_of
from orchestrator.plan.jobs import Job
from orchestrator.record import fingerprint
from orchestrator.record.provenance import HostFacts
from orchestrator.record.results import DataFacts, Provenance, Result
from orchestrator.text import MAX_NOTE, printable

# The facts that distinguish machines without an id.
HOST = ("cpu", "machine", "memory", "cpus_used", "gpus", "cpu_quota", "memory_limit")
# What decides the outcome of a job; its other fields are limits and names.
ESSENTIAL = (
    "image",
    "module",
    "command",
    "env",
    "workload",
    "dataset",
    "device",
    "ranks",
    "precision",
    "seed",
    "settings",
)


def name_of(job: Job) -> str:
    """The id of a job without the number of the repeat."""
    return job.id.rpartition("-")[0]


def key_of(result: Result) -> str:
    """A key that repeats of one job share: the same job, software and data, on one machine."""
    job, provenance = result.job, result.provenance
    host = [getattr(provenance.host, fact) for fact in HOST]
    settings = [getattr(job, field) for field in ESSENTIAL]
    whole_code = provenance.code.parts_sha256 is None
    software = sorted((key, sorted(parts.items())) for key, parts in software_of(result, whole_code=whole_code).items())
    return repr((name_of(job), len(job.gpus), settings, host, software, provenance.data))


def same_host(a: HostFacts, b: HostFacts) -> bool:
    """Whether two descriptions are of one machine. Older results have no id: then its hardware is compared."""
    known = a.id is not None and b.id is not None
    # A new kernel leaves slightly more or less of the same memory, so memory counts only without an id.
    facts = {*HOST, "id"} - {"memory"} if known else set(HOST)
    return all(getattr(a, fact) == getattr(b, fact) for fact in facts)


def job_differences(original: Job, planned: Job) -> list[str]:
    """Why the job that this checkout plans is not the stored one."""
    reasons = [
        f"this version has a different {name} for it"
        for name in ESSENTIAL
        if getattr(original, name) != getattr(planned, name)
    ]
    if len(original.gpus) != len(planned.gpus):
        reasons.append(f"it had {len(original.gpus)} GPUs, and has {len(planned.gpus)} here")
    return reasons


def code_differences(original: Provenance, here: Provenance) -> list[str]:
    """Why the workload code or the environment here is not the stored one, by their sha256."""
    reasons = []
    different = fingerprint.differences(original.code, here.code)
    if different:
        commit = printable(str(original.code.git_commit)[:40])
        parts = printable(", ".join(different), MAX_NOTE)
        reasons.append(f"the workload code differs ({parts}; check out commit {commit} for the same)")
    there = original.environment
    if there.lock_sha256 != here.environment.lock_sha256:
        reasons.append("the environment differs: its lock has another sha256, or it was not made from a lock")
    # Older results, and environments without an image, have no recipe_sha256.
    elif there.recipe_sha256 is not None and there.recipe_sha256 != here.environment.recipe_sha256:
        reasons.append("the image differs: its Dockerfile, or another file in its folder, has another sha256")
    return reasons


def data_differences(original: DataFacts | None, here: DataFacts | None) -> list[str]:
    """Why the inputs here are not the stored ones."""
    if original is None or here is None:
        return ["the data are unknown"]
    reasons = []
    if original.fingerprint != here.fingerprint:
        reasons.append(f"the data differ by their fingerprint: {original.label} there and {here.label} here")
    reasons += [
        f"{name} has another sha256"
        for name in sorted({*original.inputs, *here.inputs})
        if original.inputs.get(name) != here.inputs.get(name)
    ]
    return reasons


def result_differences(original: Result, repeat: Result, *, allow_different_code: bool) -> list[str]:
    """Why a repeat is not of the stored job, by the provenance of both."""
    reasons = data_differences(original.provenance.data, repeat.provenance.data)
    if not allow_different_code:
        reasons += code_differences(original.provenance, repeat.provenance)
        if original.start and repeat.start and original.start.version != repeat.start.version:
            reasons.append(f"the framework has version {original.start.version} there, {repeat.start.version} here")
    return reasons


def allowed_differences(original: Result, repeat: Result) -> Iterator[str]:
    """What differs and may differ, one note each."""
    there, here = original.provenance, repeat.provenance
    yield from _environment_notes(there, here)
    yield from _software_notes(original, repeat)
    had, has = there.host.models_of(original.job.gpus), here.host.models_of(repeat.job.gpus)
    if had != has:
        yield f"another GPU: {printable(', '.join(had))} there, {printable(', '.join(has))} here"
    if there.host.driver != here.host.driver:
        yield f"another NVIDIA driver: {there.host.driver} there, {here.host.driver} here"
    limits = [quotas.in_words(host.cpu_quota, host.memory_limit)[2:] or "none" for host in (there.host, here.host)]
    if limits[0] != limits[1]:
        yield f"other limits of control groups: {limits[0]} there, {limits[1]} here"


def _environment_notes(original: Provenance, repeat: Provenance) -> Iterator[str]:
    there, here = original.environment, repeat.environment
    if there.base != here.base:
        yield f"the image has another base: {printable(str(there.base))} there, {printable(str(here.base))} here"
    elif there.id != here.id:
        same = "lock" if there.recipe_sha256 is None else "Dockerfile and lock"
        yield f"the image was built again from the same {same}: its id differs because its files have other times"
    if there.lock_sha256 is None:
        yield "the user gave the environment: it has no lock, so only the framework's version is compared"


def _software_notes(original: Result, repeat: Result) -> Iterator[str]:
    """What differs in the interpreter, and in the libraries of an environment without a lock."""
    for fact in ("interpreter", "libraries"):
        there, here = (words.get(fact) for words in differences([software_of(original), software_of(repeat)]))
        if there is not None:
            yield f"another {TITLES[fact]}: {printable(there) or 'none'} there, {printable(here or '') or 'none'} here"
