"""Where the figures of a table's row come from: every fact of its jobs, and how to measure them again. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from orchestrator.judge.conditions import conditions_of
from orchestrator.plan.jobs import Job
from orchestrator.record.events import Start
from orchestrator.record.results import Result
from orchestrator.record.telemetry import Telemetry
from orchestrator.record.usage import UsageCurves
from orchestrator.report import again, sources
from orchestrator.report.certified import Mark
from orchestrator.report.charts import Chart, Grid, usage
from orchestrator.report.sections import Key, key_of
from orchestrator.report.sources import SourceFile, Tree
from orchestrator.report.table import Column
from orchestrator.text import MAX_NOTE, clip

NO_SOURCE = "The code that was measured is not at hand: this checkout's workloads differ, and its history lacks them."
NO_USAGE = "What these jobs used over time cannot be drawn: no samples of them are at hand, only the figures above."
MAX_JOBS = 50  # listed behind a row
# What repeats have in common, but for dictionaries and lists.
PLANNED = attrgetter(*(name for name in Job.model_fields if name not in {"id", "repeat", "settings", "env"}))
STARTED = attrgetter(*(name for name in Start.model_fields if name not in {"seq", "t", "versions", "gpus", "notes"}))
JOBS = (
    Column(title="job"),
    Column(title="status"),
    Column(title="began (UTC)"),
    Column(title="accuracy (%)", form=".2f"),
    Column(title="training (s)", form=",.2f"),
    Column(title="images/s", form=",.2f"),
    Column(title="whole job (s)", form=",.2f"),
    Column(title="CPUs used", form=".2f"),
    Column(title="peak memory (GiB)", form=",.2f"),
    Column(title="GPU busy (%)", form=".0f"),
    Column(title="peak GPU memory (GiB)", form=",.2f"),
    Column(title="GPU energy (J)", form=",.0f"),
    Column(title="disturbed by"),
)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A titled list of names and values."""

    title: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class SharedProvenance:
    """What several jobs have in common: all of it."""

    jobs: tuple[str, ...]
    facts: tuple[Facts, ...]
    commands: tuple[str, ...]
    sources: tuple[SourceFile, ...]
    no_source: str  # why there are none


@dataclass(frozen=True, kw_only=True)
class Used:
    """What a job used while it ran, in charts."""

    job: str
    charts: tuple[Chart, ...]


@dataclass(frozen=True, kw_only=True)
class CellDetails:
    """Everything behind one row of a table."""

    id: str
    title: str
    workload: str
    conditions: tuple[str, ...]
    mark: Mark | None
    jobs: Grid
    more_jobs: int  # that are not listed
    used: tuple[Used, ...]  # of one job for each device
    no_usage: str  # why there is nothing of the kind, where something was measured
    provenance: tuple[SharedProvenance, ...]


def cell(
    name: str,
    title: str,
    workload: str,
    results: Sequence[Result],
    *,
    trees: Mapping[str, Tree],
    mark: Mark | None,
    used: Mapping[Key, UsageCurves],
) -> CellDetails:
    """The cell of a row; `trees` holds the workload code that is at hand, by fingerprint; `used` some jobs' samples."""
    drawn = tuple(_used_over_time(name, results, used))
    alike = list(_alike(results))
    sampled = any(result.telemetry is not None for result in results)
    return CellDetails(
        id=name,
        title=title,
        workload=workload,
        conditions=_conditions([same[0] for same in alike]),
        mark=mark,
        jobs=_jobs(results[:MAX_JOBS]),
        more_jobs=max(0, len(results) - MAX_JOBS),
        used=drawn,
        no_usage=NO_USAGE if sampled and not drawn else "",
        provenance=tuple(_provenance(same, trees) for same in alike),
    )


def _conditions(results: Sequence[Result]) -> tuple[str, ...]:
    """Under which a row was measured; in a row of several devices or hosts, all that there were."""
    told = [conditions_of(result) for result in results]
    joined = (" / ".join(dict.fromkeys(each[name] for each in told if each[name])) for name in told[0])
    return tuple(clip(words, MAX_NOTE) for words in joined if words)


def _jobs(results: Sequence[Result]) -> Grid:
    """A line per job; a column that would be empty is left out."""
    lines = list(map(_job, results))
    filled = [place for place in range(len(JOBS)) if any(line[place] is not None for line in lines)]
    return Grid(
        columns=tuple(JOBS[place] for place in filled),
        rows=tuple(tuple(line[place] for place in filled) for line in lines),
    )


def _job(result: Result) -> tuple[str | float | None, ...]:
    figures = result.figures
    status = result.status if result.attempt == 1 else f"{result.status} (attempt {result.attempt})"
    accuracy = None if figures.accuracy is None else 100 * figures.accuracy
    began = result.began[:19].replace("T", " ")
    others = [f"{each.name}: " + ("GPU" if each.cpus is None else f"{each.cpus} CPUs") for each in result.neighbours]
    return (
        clip(result.job.id),
        status,
        began,
        accuracy,
        figures.train_s,
        figures.images_per_s,
        result.seconds,
        *_used(result.telemetry),
        clip(", ".join(others), MAX_NOTE) or None,
    )


def _used(telemetry: Telemetry | None) -> tuple[float | None, ...]:
    """CPUs, memory, GPU, GPU memory, energy: in the units of JOBS."""
    if telemetry is None:
        return (None,) * 5
    memory, gpu_memory = (
        None if amount is None else amount / 2**30 for amount in (telemetry.memory_peak, telemetry.gpu_memory_peak)
    )
    return telemetry.cpus, memory, telemetry.gpu_utilisation, gpu_memory, telemetry.joules


def _used_over_time(name: str, results: Sequence[Result], used: Mapping[Key, UsageCurves]) -> Iterable[Used]:
    """Of each device, the first job whose samples are at hand."""
    first: dict[str, Result] = {}
    for result in results:
        if key_of(result) in used:
            first.setdefault(result.job.device, result)
    for device, result in first.items():
        charts = usage.of(f"{name}-{device}", used[key_of(result)])
        yield Used(job=clip(result.job.id), charts=tuple(charts))


def _alike(results: Sequence[Result]) -> Iterable[list[Result]]:
    """Results with equal provenance, together: repeats of one run have one.

    They are told apart by what `_facts` and `again.commands` are made from, which is cheaper to look at than these; the
    provenance that many results have in common is written once.
    """
    written: dict[int, str] = {}  # the results hold their provenance, so nothing else gets the id of one
    groups: dict[tuple[object, ...], list[Result]] = {}
    for result in results:
        start, provenance = result.start, result.provenance
        if id(provenance) not in written:
            written[id(provenance)] = repr(provenance)
        begun = () if start is None else (*STARTED(start), repr((start.versions, start.gpus, start.notes)))
        key = (*PLANNED(result.job), repr(result.job.settings), repr(result.job.env), *begun, written[id(provenance)])
        groups.setdefault(key, []).append(result)
    return groups.values()


def _provenance(results: Sequence[Result], trees: Mapping[str, Tree]) -> SharedProvenance:
    first = results[0]
    tree = trees.get(str(first.provenance.code.get("workloads_sha256")))
    return SharedProvenance(
        jobs=tuple(clip(result.job.id) for result in results),
        facts=_facts(first),
        commands=again.commands(first),
        sources=() if tree is None else sources.of_job(first.job, tree),
        no_source="" if tree is not None else NO_SOURCE,
    )


def _facts(result: Result) -> tuple[Facts, ...]:
    """All facts, group by group; whatever an engine or a later version records is shown under its own name."""
    job, provenance, start = result.job, result.provenance, result.start
    told: dict[str, Mapping[str, Any]] = {
        "Framework": {}
        if start is None
        else {
            "version": start.version,
            **start.versions,
            "device": start.device_name or start.device,
            "threads": start.threads,
            "denormals": start.denormals,
            "fused": start.fused,
            "notes": start.notes,
        },
        "Settings": {
            "precision": job.precision,
            "seed": job.seed,
            **job.settings,
            "environment": job.env,
            "command": " ".join(job.argv),
            "memory": job.memory,
            "cpus": job.cpus,
            "timeout": job.timeout,
        },
        f"Environment ({provenance.local_engine} engine)": provenance.environment,
        "Data": {} if provenance.data is None else provenance.data.model_dump(),
        "Code": provenance.code,
        "Host": provenance.host,
        "Node of a cluster": provenance.node.model_dump() if provenance.node else {},
    }
    return tuple(Facts(title=clip(title), rows=tuple(_flat(values))) for title, values in told.items() if values)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Nested facts as names with dots; what is empty or unknown is left out."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif value is not None and value not in ([], ()):
            shown = ", ".join(map(_text, value)) if isinstance(value, list | tuple) else _text(value)
            yield clip(prefix + key), clip(shown, MAX_NOTE)


def _text(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
