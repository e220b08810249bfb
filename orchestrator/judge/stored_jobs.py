"""Stored results → the jobs to repeat, and the spec that plans each of them again. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pydantic

from orchestrator.errors import StoreError, UsageError
from orchestrator.host.machine import Gpu
from orchestrator.judge import same_job
from orchestrator.plan.spec import Spec
from orchestrator.record.results import Result
from orchestrator.text import MAX_NOTE, did_you_mean, printable

LISTS = "`rosetta report {} --format csv` lists its jobs"


def cells_of(
    results: Sequence[Result],
    where: str,
    *,
    jobs: Sequence[str] = (),
    frameworks: Sequence[str] = (),
    workloads: Sequence[str] = (),
) -> list[list[Result]]:
    """The results of each job with its repeats: of the selected jobs, or of all.

    A job is selected by its id without the number. A job that was measured on two machines counts as two. Failed
    repeats, and jobs without figures, are left out if anything else has figures. Raises UsageError when `where`, the
    file that holds the results, has no such job.
    """
    if not results:
        raise UsageError(f"{where} holds no result", hint="was it written before the first job of the run had ended?")
    asked = {"job": jobs, "framework": frameworks, "workload": workloads}
    _check_names(results, where, asked)
    chosen: dict[str, list[Result]] = {}
    for result in results:
        if all(not asked[kind] or name in asked[kind] for kind, name in _names(result).items()):
            chosen.setdefault(same_job.key_of(result), []).append(result)
    if not chosen:
        raise UsageError(f"{where} holds no job that matches all options", hint=LISTS.format(where))
    measured = [[result for result in cell if result.status == "ok"] for cell in chosen.values()]
    return [cell for cell in measured if cell] or list(chosen.values())


def name_of(result: Result) -> str:
    """The id of a result's job without the number of the repeat."""
    return printable(same_job.name_of(result.job))


def spec_of(original: Result, repeats: int, gpus: Sequence[Gpu] = ()) -> Spec:
    """The spec that plans the job of `original` again, with this number of repeats.

    It uses the job's own GPU if that is among `gpus`, or one of the same model. All values from a file pass through
    this spec, which validates them, before anything runs. Raises StoreError when one is not valid.
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
                "ranks": job.ranks,
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
            f"{printable(job.id)}: its settings are not valid in a spec: {where}: {printable(first['msg'])}",
            hint="only results that `rosetta bench` wrote can be reproduced",
        ) from error


def _names(result: Result) -> Mapping[str, str]:
    """The names by which a result can be selected, by their kind."""
    return {
        "job": name_of(result),
        "framework": printable(result.job.framework),
        "workload": result.job.workload,
    }


def _check_names(results: Sequence[Result], where: str, asked: Mapping[str, Sequence[str]]) -> None:
    """Raise UsageError for a name that no result has."""
    for kind, names in asked.items():
        there = {_names(result)[kind] for result in results}
        for name in names:
            if name not in there:
                known = printable(did_you_mean(name, there), MAX_NOTE)
                raise UsageError(f"{where} holds no {kind} {name!r}{known}", hint=LISTS.format(where))


def _gpu(original: Result, gpus: Sequence[Gpu]) -> str:
    """The GPU to use: the job's own one, or one of the same model, or the first. Several ranks begin with the first."""
    job = original.job
    if len(job.gpus) > 1:
        return "0"
    model = original.provenance.host.models_of(job.gpus)
    chosen = [gpu for gpu in gpus if gpu.uuid in job.gpus] or [gpu for gpu in gpus if [gpu.name] == model]
    return chosen[0].uuid if chosen else "0"
