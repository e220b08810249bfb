"""Finds the results that share a row of a table. Pure.

They do if only the repeat differs: data, device, engine, precision, settings, machine and software are the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.errors import StoreError
from orchestrator.host import quotas
from orchestrator.judge.software import TITLES, Parts, alike, differences, software_of_all
from orchestrator.record.provenance import HostFacts
from orchestrator.record.results import Provenance, Result
from orchestrator.text import printable

NO_DATA = "no data"  # of a job that failed before it had data
NOWHERE = "no node"  # of a job that no node of a cluster could run

Row = tuple[dict[str, str], list[Result]]  # the conditions of a row, and its results


def conditions_of(result: Result) -> dict[str, str]:
    """Everything that must be equal before two results can be compared, in words."""
    job, provenance = result.job, result.provenance
    data = provenance.data.label if provenance.data else NO_DATA
    workload = job.declaration
    others = {key: value for key, value in job.settings.items() if key not in workload.amounts}
    return {
        "data": data,
        "amount": workload.amount(job.settings),
        "device": job.device.upper() if job.device == "cpu" else "GPU",
        "gpu": _gpu(result),
        "gpus": f"{len(job.gpus)} GPUs" if len(job.gpus) > 1 else "",
        "ranks": f"{job.ranks} ranks" if job.ranks > 1 else "",
        "engine": _engine(provenance),
        "precision": job.precision,
        "settings": ", ".join(f"{key} {value}" for key, value in others.items()),
        "seed": f"seed {job.seed}",
        "trace": f"slowed by tracing {job.trace} steps" if job.trace else "",
        "host": machine(provenance.host),
        "node": f"on {job.host}" if job.host else "",
    }


def sound(found: Iterable[Result | StoreError], where: str) -> Iterator[Result | StoreError]:
    """The same results, with an error instead of each one that cannot be shown or compared.

    A file with a valid digest may still hold settings that this program never writes. `where` names the source.
    """
    for each in found:
        if isinstance(each, StoreError):
            yield each
            continue
        try:
            conditions_of(each)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            yield StoreError(
                f"{where}: {printable(each.job.id)}: not written by this program: "
                f"{type(error).__name__}: {printable(str(error))}",
                hint="only results that `rosetta bench` wrote can be shown and compared",
            )
        else:
            yield each


def grouped(results: Iterable[Result], ignore: Sequence[str] = ()) -> list[Row]:
    """Results that differ only in the repeat, together, with their conditions except those in `ignore`.

    Where rows of a framework differ in their software, their conditions name the difference, and it only.
    """
    of_framework: dict[str, list[Result]] = {}
    for result in results:
        of_framework.setdefault(result.job.framework, []).append(result)
    return [row for some in of_framework.values() for row in _rows(some, ignore)]


def _rows(results: Sequence[Result], ignore: Sequence[str]) -> list[Row]:
    """The rows of one framework, in the order of their first results."""
    found: dict[tuple[str, ...], list[_GrowingRow]] = {}
    # A job that failed may not have come far enough to report its software. Its result joins the first row that fits.
    places = sorted(range(len(results)), key=lambda place: results[place].status != "ok")
    software = software_of_all(results)
    for place in places:
        conditions = _conditions(results[place], ignore)
        candidates = found.setdefault(tuple(conditions.values()), [])
        row = next((each for each in candidates if alike(each.software, software[place])), None)
        if row is None:
            row = _GrowingRow(conditions=conditions)
            candidates.append(row)
        row.places.append(place)
        row.software |= software[place]
    rows = sorted((row for candidates in found.values() for row in candidates), key=lambda row: min(row.places))
    named = differences([row.software for row in rows])
    return [
        ({**row.conditions, **dict.fromkeys(TITLES, ""), **words}, [results[place] for place in sorted(row.places)])
        for row, words in zip(rows, named, strict=True)
    ]


@dataclass(kw_only=True)
class _GrowingRow:
    """A row while its results are found."""

    conditions: dict[str, str]
    places: list[int] = field(default_factory=list)  # of its results among those of the framework
    software: dict[tuple[str, str], Parts] = field(default_factory=dict)


def _conditions(result: Result, ignore: Sequence[str]) -> dict[str, str]:
    """The conditions of a result without those in `ignore`."""
    conditions = {name: words for name, words in conditions_of(result).items() if name not in ignore}
    if "batches" in ignore:
        conditions["amount"] = f"batches of {result.job.settings['batch']}"
    return conditions


def split(conditions: Sequence[Mapping[str, str]]) -> tuple[list[str], list[str]]:
    """The conditions that all rows share, in words; and the names of the others.

    A job that failed before it had data, or a node, does not count as different for that.
    """
    values = {name: {row[name] for row in conditions} for name in conditions[0]}
    values = {name: words - {NO_DATA, NOWHERE} or words for name, words in values.items()}
    varying = [name for name in values if len(values[name]) > 1]
    return [word for name in values if name not in varying for word in values[name] if word], varying


def machine(host: HostFacts) -> str:
    """The machine in words; its GPUs too, whether the job used them or not: both kinds of job share a row."""
    if host.is_empty:
        return NOWHERE
    names = Counter(str(gpu.name) for gpu in host.gpus)
    cards = "".join(f", {count} x {name}" for name, count in names.items())
    cpus = f"{len(host.cpus_used)} CPU{'' if len(host.cpus_used) == 1 else 's'}"
    return f"{host.cpu or 'unknown CPU'}, {cpus}{quotas.in_words(host.cpu_quota, host.memory_limit)}{cards}"


def _engine(provenance: Provenance) -> str:
    """The engine in words: on a cluster, the node's."""
    if provenance.node is not None:
        shared = "" if provenance.node.exclusive else ", shared with other jobs"
        return f"{provenance.node.engine} engine through {provenance.engine}{shared}"
    return NOWHERE if provenance.host.is_empty else f"{provenance.engine} engine"


def _gpu(result: Result) -> str:
    """The models of the GPUs that a job had; empty if its host has only one model."""
    job, host = result.job, result.provenance.host
    if not job.gpus or len({gpu.name for gpu in host.gpus}) < 2:
        return ""
    return ", ".join(host.models_of(job.gpus))
