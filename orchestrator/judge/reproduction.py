"""A stored result and its repetition → REPRODUCED, or what it is instead. Pure; rerun.py does the running.

The time of a repetition is never the stored one to the last digit, so the question is whether they differ by more than
a tolerance. It has two parts, and a verdict names both: what two good measurements may differ by (FLOOR), and what the
spread of these very measurements leaves open.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pydantic

from orchestrator.errors import StoreError, UsageError
from orchestrator.host.machine import Gpu
from orchestrator.judge import stats
from orchestrator.plan.jobs import Job
from orchestrator.plan.spec import Spec, did_you_mean
from orchestrator.record import fingerprint
from orchestrator.record.results import Provenance, Result, gpu_models
from orchestrator.text import MAX_NOTE, printable

ReproductionWord = Literal["REPRODUCED", "SLOWER", "FASTER", "DIFFERENT ACCURACY", "CANNOT"]
SAME_HOST = 0.02  # relative; quiet repeats of one machine differ by this much from day to day
OTHER_HOST = 0.10  # the same model of machine elsewhere: other memory, cooling, firmware
TOO_NOISY = 0.25  # a spread that leaves more open than this would reproduce anything
LISTS = "`orchestrator report {} --format csv` lists what it holds"
ACCURACY_LEVEL = 0.99  # with 95 % one honest repetition in twenty would be called different

RECIPE = "recipe_sha256"  # of an image, but its base; older results lack it, and environments without an image
HOST = ("cpu", "machine", "memory", "cpus_used", "gpus")  # what tells one machine from another
# What decides a job's outcome; the rest of a job is limits and names.
ESSENTIAL = ("image", "module", "command", "env", "workload", "dataset", "device", "precision", "seed", "settings")


@dataclass(frozen=True, kw_only=True)
class ReproductionVerdict:
    """What became of a repetition. Times in seconds, shares 0 to 1; None where it did not come to that."""

    word: ReproductionWord
    why: str
    ratio: float | None = None  # of the medians: here over stored
    floor: float | None = None  # relative: what two good measurements may differ by
    spread: float | None = None  # relative: what the spread of these leaves open
    stored: tuple[float, ...] = ()
    here: tuple[float, ...] = ()
    accuracy: tuple[float, float] | None = None  # stored, here
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of one job of a file."""

    job: str  # id of its first stored result
    verdict: ReproductionVerdict
    run: Path | None = None  # where the repeats are; None where it did not come to any


def cells_of(
    results: Sequence[Result],
    where: str,
    *,
    jobs: Sequence[str] = (),
    frameworks: Sequence[str] = (),
    workloads: Sequence[str] = (),
) -> list[list[Result]]:
    """The results job by job, each with its repeats: those asked for (a job is an id without the number), or all.

    A job that was measured on two machines is two. What failed is left out where there are figures: of a job's
    repeats, and of several jobs. Raises UsageError when `where`, which holds the results, has nothing of the kind.
    """
    if not results:
        raise UsageError(f"{where} holds no result", hint="was it written before the run's first job had ended?")
    asked = {"job": jobs, "framework": frameworks, "workload": workloads}
    chosen: dict[str, list[Result]] = {}
    there: dict[str, set[str]] = {kind: set() for kind in asked}
    for result in results:
        name = name_of(result)
        is_of = {"job": name, "framework": printable(result.job.framework), "workload": result.job.workload}
        for kind, value in is_of.items():
            there[kind].add(value)
        if all(not asked[kind] or value in asked[kind] for kind, value in is_of.items()):
            chosen.setdefault(_kind(result), []).append(result)
    for kind, names in asked.items():
        for name in names:
            if name not in there[kind]:
                known = printable(did_you_mean(name, there[kind]), MAX_NOTE)
                raise UsageError(f"{where} holds no {kind} {name!r}{known}", hint=LISTS.format(where))
    if not chosen:
        raise UsageError(f"{where} holds no job that is all that the options say", hint=LISTS.format(where))
    measured = [[result for result in cell if result.status == "ok"] for cell in chosen.values()]
    return [cell for cell in measured if cell] or list(chosen.values())


def name_of(result: Result) -> str:
    """What a person calls the job of a result and its repeats: its id without the number."""
    return printable(result.job.id.rpartition("-")[0])


def spec_of(original: Result, repeats: int, gpus: Sequence[Gpu] = ()) -> Spec:
    """The spec that plans `original` again, so often, on one of this machine's `gpus` that is the one it had.

    Nothing of a file is run but through such a spec. Raises StoreError when it holds what no spec may.
    """
    job, data = original.job, original.provenance.data
    try:
        return Spec.model_validate(
            {
                "name": "reproduce",
                "frameworks": [job.framework],
                "workloads": [job.workload],
                "device": job.device,
                "gpu": _gpu(original, gpus),
                "engine": original.provenance.local_engine,
                "dataset": data.source if data else "auto",
                "precision": job.precision,
                "repeats": repeats,
                "seed": job.seed,
                "trace": job.trace,
                "learning_curve": job.learning_curve,
                job.workload: {**job.settings, **({"accuracy": job.accuracy} if job.accuracy else {})},
                "limits": {"timeout": job.timeout, "silence": job.silence, "memory": job.memory, "cpus": job.cpus},
            }
        )
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = printable(".".join(map(str, first["loc"])))
        raise StoreError(
            f"{printable(job.id)}: its settings are none that a spec can have: {where}: {printable(first['msg'])}",
            hint="only results that `orchestrator bench` wrote can be reproduced",
        ) from error


def _gpu(original: Result, gpus: Sequence[Gpu]) -> str:
    """Which of `gpus` to take: all, where the job had several; else the very one, or one like it, or the first."""
    job = original.job
    if len(job.gpus) > 1:
        return "all"
    model = gpu_models(job, original.provenance.host)
    chosen = [gpu for gpu in gpus if gpu.uuid in job.gpus] or [gpu for gpu in gpus if [gpu.name] == model]
    return chosen[0].uuid if chosen else "0"


def job_differences(original: Job, planned: Job) -> list[str]:
    """Why the job that this checkout plans is not the stored one."""
    reasons = [
        f"this checkout has another {name} for it"
        for name in ESSENTIAL
        if getattr(original, name) != getattr(planned, name)
    ]
    if len(original.gpus) != len(planned.gpus):
        reasons.append(f"it had {len(original.gpus)} GPUs, and has {len(planned.gpus)} here")
    return reasons


def code_differences(original: Provenance, here: Provenance) -> list[str]:
    """Why what runs here is not what ran there: workload code and lock, by their sha256."""
    reasons = []
    others = fingerprint.differences(original.code, here.code)
    if others:
        commit = str(original.code.get("git_commit"))[:40]
        told = f"{printable(', '.join(others), MAX_NOTE)}; check out commit {printable(commit)} for the same"
        reasons.append(f"the workload code is another ({told})")
    if _differ(original.environment, here.environment, "lock_sha256"):
        reasons.append("the environment is another: its lock has another sha256, or it is not made from a lock")
    elif RECIPE in original.environment and _differ(original.environment, here.environment, RECIPE):
        reasons.append("the image is another: its Dockerfile, or a file beside it, has another sha256")
    return reasons


def data_differences(original: Provenance, here: Provenance) -> list[str]:
    """Why the inputs are not the same bytes."""
    if original.data is None or here.data is None:
        return ["the data are unknown"]
    reasons = []
    if original.data.fingerprint != here.data.fingerprint:
        reasons.append(f"the data are others: {original.data.label} there and {here.data.label} here, by fingerprint")
    reasons += [
        f"{name} has another sha256"
        for name in sorted({*original.data.inputs, *here.data.inputs})
        if original.data.inputs.get(name) != here.data.inputs.get(name)
    ]
    return reasons


def verdict(
    originals: Sequence[Result], repeats: Sequence[Result], *, allow_different_code: bool = False
) -> ReproductionVerdict:
    """Judge `repeats`, at least one, of the job that gave `originals`, at least one.

    Accuracy comes before time: what learns worse is not faster.
    """
    obstacle = unusable(originals) or _failed(repeats) or _strange(originals, repeats, allow=allow_different_code)
    notes = _notes(originals[0], repeats[0])
    if obstacle:
        return ReproductionVerdict(word="CANNOT", why=obstacle, notes=notes)
    stored, here = _times(originals), _times(repeats)
    floor = SAME_HOST if same_host(originals[0].provenance.host, repeats[0].provenance.host) else OTHER_HOST
    spread = _open(originals, repeats)
    ratio = statistics.median(here) / statistics.median(stored)
    accuracy, accuracy_problem = _accuracy(originals, repeats)
    tolerance = (1 + floor) * (1 + spread) - 1
    told = (
        f"{ratio:.3f} times the stored time; the tolerance of {_per_cent(tolerance)} is {_per_cent(floor)} for "
        f"{'the same' if floor == SAME_HOST else 'another'} host and {_per_cent(spread)} for the spread of these runs"
    )
    word: ReproductionWord = "REPRODUCED"
    if accuracy_problem:
        word, told = "DIFFERENT ACCURACY", accuracy_problem
    elif spread > TOO_NOISY:
        word = "CANNOT"
        told = f"too noisy to tell: the spread of these runs alone leaves {_per_cent(spread)} open"
    elif abs(math.log(ratio)) > math.log1p(tolerance):
        word = "SLOWER" if ratio > 1 else "FASTER"
    return ReproductionVerdict(
        word=word,
        why=told,
        ratio=ratio,
        floor=floor,
        spread=spread,
        stored=stored,
        here=here,
        accuracy=accuracy,
        notes=(*notes, *stats.warnings(here)),
    )


def unusable(originals: Sequence[Result]) -> str:
    """Why there is nothing to reproduce; empty when there is."""
    for result in originals:
        if result.status != "ok":
            reason = result.failure.message if result.failure else result.status
            return f"the stored job {result.job.id} has no figures: {reason}"
        if not result.figures.ranking_s:
            return f"the stored job {result.job.id} has no time"
    shares = [(result.figures.accuracy, result.figures.test_samples) for result in originals]
    if any(share is not None and (share > 1 or not samples or samples < 0) for share, samples in shares):
        return "the stored accuracy is no share of a number of test samples"
    return ""


def same_host(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two descriptions are of one machine, as far as they can tell; older results have no id to tell by."""
    known = a.get("id") is not None and b.get("id") is not None
    # A new kernel leaves a little more or less of the same memory, so it tells only where there is nothing better.
    keys = {*HOST, "id"} - {"memory"} if known else HOST
    return all(a.get(key) == b.get(key) for key in keys)


def _kind(result: Result) -> str:
    """The same for results that are repeats of one another: of one job, with the same code and data, on one host."""
    job, provenance = result.job, result.provenance
    same = [getattr(job, name) for name in ESSENTIAL], [provenance.host.get(key) for key in HOST]
    return repr((name_of(result), same, provenance.environment.get("lock_sha256"), provenance.code, provenance.data))


def _failed(repeats: Sequence[Result]) -> str:
    failures = [result for result in repeats if result.failure is not None or not result.figures.ranking_s]
    if not failures:
        return "" if len(repeats) > 1 else "one repeat has no spread; repeat it at least twice"
    reason = failures[0].failure
    told = f": {reason.kind.replace('_', ' ')}: {reason.message}" if reason else ""
    return f"{len(failures)} of {len(repeats)} repeats failed{told}"


def _strange(originals: Sequence[Result], repeats: Sequence[Result], *, allow: bool) -> str:
    """Why the repeats are of something else, as their own provenance tells."""
    original = originals[0]
    for repeat in repeats:
        reasons = data_differences(original.provenance, repeat.provenance)
        if not allow:
            reasons += code_differences(original.provenance, repeat.provenance)
            if original.start and repeat.start and original.start.version != repeat.start.version:
                reasons.append(f"version {original.start.version} of the framework there, {repeat.start.version} here")
        if reasons:
            return "; ".join(reasons)
    return ""


def _notes(original: Result, repeat: Result) -> tuple[str, ...]:
    """What is not the same and need not be."""
    there, here = original.provenance, repeat.provenance
    notes = []
    if _differ(there.environment, here.environment, "base"):
        bases = [printable(str(each.environment.get("base"))) for each in (there, here)]
        notes.append("the image has another base: {} there, {} here".format(*bases))
    elif _differ(there.environment, here.environment, "id"):
        same = "Dockerfile and lock" if RECIPE in there.environment else "lock"
        notes.append(f"the image was built anew from the same {same}: its id differs, as times of files in it do")
    if there.environment.get("lock_sha256") is None:
        notes.append("the environment was one its user gave: there is no lock to compare, only the framework's version")
    had, has = gpu_models(original.job, there.host), gpu_models(repeat.job, here.host)
    if had != has:
        notes.append(f"another GPU: {printable(', '.join(had))} there, {printable(', '.join(has))} here")
    if _differ(there.host, here.host, "driver"):
        notes.append(f"another NVIDIA driver: {there.host.get('driver')} there, {here.host.get('driver')} here")
    if original.neighbours or repeat.neighbours:
        notes.append("other programs used the processors meanwhile, then or now")
    return tuple(notes)


def _times(results: Sequence[Result]) -> tuple[float, ...]:
    return tuple(seconds for result in results if (seconds := result.figures.ranking_s) is not None)


def _open(originals: Sequence[Result], repeats: Sequence[Result]) -> float:
    """What the spread of all these measurements leaves open, relative: the half width of a t interval of the ratio.

    The spread of one run is the largest that anything here tells: that of the repeats, of the stored repeats, or what
    the stored and new epochs or batches give for a mean of so many. The last is all a single stored result has.
    """
    stored, here = _times(originals), _times(repeats)
    spreads = [statistics.stdev(map(math.log, times)) for times in (stored, here) if len(times) > 1]
    for result in (*originals, *repeats):
        parts = result.figures.part_seconds
        steady = stats.steady(parts)
        if steady is not None and len(parts) - steady.start > 1:
            spreads.append(steady.spread / math.sqrt(len(parts) - steady.start))
    freedom = max(1, len(stored) + len(here) - 2)
    standard_error = max(spreads) * math.sqrt(1 / len(stored) + 1 / len(here))
    half_width = stats.t_quantile(stats.EQUIVALENCE_LEVEL, freedom) * standard_error
    return math.expm1(min(half_width, 7.0))  # beyond a factor of a thousand it is noise, and exp would overflow


def _accuracy(originals: Sequence[Result], repeats: Sequence[Result]) -> tuple[tuple[float, float] | None, str]:
    """The median accuracies there and here, and what is wrong with them, if anything is."""
    shares = [
        [r.figures.accuracy for r in results if r.figures.accuracy is not None] for results in (originals, repeats)
    ]
    sizes = [results[0].figures.test_samples or 0 for results in (originals, repeats)]
    if not all(shares):
        return None, ""
    medians = statistics.median(shares[0]), statistics.median(shares[1])
    counts = [(round(share * size), size) for share, size in zip(medians, sizes, strict=True)]
    difference = stats.share_difference(counts[0], counts[1], ACCURACY_LEVEL)
    if difference.low <= 0 <= difference.high:
        return medians, ""
    return medians, (
        f"accuracy is {100 * medians[1]:.2f} % and was {100 * medians[0]:.2f} %: over {sizes[1]:,} test samples that "
        f"is more than chance ({100 * ACCURACY_LEVEL:.0f} % interval of the difference: {100 * difference.low:+.2f} to "
        f"{100 * difference.high:+.2f} points)"
    )


def _differ(there: Mapping[str, Any], here: Mapping[str, Any], key: str) -> bool:
    return bool(there.get(key) != here.get(key))


def _per_cent(share: float) -> str:
    return f"{100 * share:.1f} %"
