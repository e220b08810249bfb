"""The details behind a row of a table: every fact about its jobs, and the commands to measure them again. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.host.peak import Peak
from orchestrator.judge import disturbances, plausibility
from orchestrator.judge.conditions import conditions_of
from orchestrator.judge.plausibility import Plausibility
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

NO_SOURCE = "The measured code is not available: the workloads here differ, and no git history has them."
NO_USAGE = "Usage over time cannot be drawn: only the figures above were kept, not the samples of these jobs."
MAX_JOBS = 50  # listed for a row
JOBS = (
    Column(title="job"),
    Column(title="status"),
    Column(title="began (UTC)"),
    Column(title="accuracy (%)", form=".2f"),
    Column(title="test loss", form=".3f"),
    Column(title="training (s)", form=",.2f"),
    Column(title="images/s", form=",.2f"),
    Column(title="whole job (s)", form=",.2f"),
    Column(title="GFLOP/s", form=",.0f"),
    Column(title="weights (GB/s)", form=",.2f"),
    Column(title="of this machine's peak"),
    Column(title="CPUs used", form=".2f"),
    Column(title="peak memory (GiB)", form=",.2f"),
    Column(title="GPU busy (%)", form=".0f"),
    Column(title="peak GPU memory (GiB)", form=",.2f"),
    Column(title="GPU energy (J)", form=",.0f"),
    Column(title="disturbed"),
)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A titled list of names and values."""

    title: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class SharedProvenance:
    """The provenance that several jobs have in common."""

    jobs: tuple[str, ...]
    facts: tuple[Facts, ...]
    commands: tuple[str, ...]
    sources: tuple[SourceFile, ...]
    no_source: str  # why there are no sources


@dataclass(frozen=True, kw_only=True)
class Used:
    """What a job used over time, in charts."""

    job: str
    charts: tuple[Chart, ...]


@dataclass(frozen=True, kw_only=True)
class CellDetails:
    """The details behind one row of a table."""

    id: str
    title: str
    workload: str
    conditions: tuple[str, ...]
    mark: Mark | None
    jobs: Grid
    more_jobs: int  # how many are not listed
    used: tuple[Used, ...]  # one job for each device
    no_usage: str  # why there are no charts, if usage was measured
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
    peak: Peak | None = None,
) -> CellDetails:
    """The details of a row.

    `trees` holds the available workload code by its fingerprint, `used` some jobs' samples; `peak` is of this machine.
    """
    drawn = tuple(_used_over_time(name, results, used))
    sampled = any(result.telemetry is not None for result in results)
    return CellDetails(
        id=name,
        title=title,
        workload=workload,
        conditions=_conditions(results),
        mark=mark,
        jobs=_jobs(results[:MAX_JOBS], peak),
        more_jobs=max(0, len(results) - MAX_JOBS),
        used=drawn,
        no_usage=NO_USAGE if sampled and not drawn else "",
        provenance=tuple(_by_provenance(results, trees)),
    )


def _conditions(results: Sequence[Result]) -> tuple[str, ...]:
    """The conditions of a row, in words. If its results differ, for example in the device, all values are joined."""
    conditions = [conditions_of(result) for result in results]
    joined = (" / ".join(dict.fromkeys(each[name] for each in conditions if each[name])) for name in conditions[0])
    return tuple(clip(words, MAX_NOTE) for words in joined if words)


def _jobs(results: Sequence[Result], peak: Peak | None) -> Grid:
    """One line for each job, without columns that are empty."""
    lines = [_job(result, peak) for result in results]
    filled = [place for place in range(len(JOBS)) if any(line[place] is not None for line in lines)]
    return Grid(
        columns=tuple(JOBS[place] for place in filled),
        rows=tuple(tuple(line[place] for place in filled) for line in lines),
    )


def _job(result: Result, peak: Peak | None) -> tuple[str | float | None, ...]:
    figures = result.figures
    status = result.status if result.attempt == 1 else f"{result.status} (attempt {result.attempt})"
    accuracy = None if figures.accuracy is None else 100 * figures.accuracy
    began = result.began[:19].replace("T", " ")
    return (
        clip(result.job.id),
        status,
        began,
        accuracy,
        figures.test_loss,
        figures.train_s,
        figures.images_per_s,
        result.seconds,
        *_rates(plausibility.of_result(result, peak)),
        *_used(result.telemetry),
        clip("; ".join(each.text for each in disturbances.of_result(result)), MAX_NOTE) or None,
    )


def _rates(found: Plausibility | None) -> tuple[str | float | None, ...]:
    """Operations and bytes a second and their share of the peak, in the units of JOBS."""
    if found is None:
        return (None,) * 3
    share = None
    if found.of_peak is not None:
        share = f"{100 * found.of_peak:.0f} %" + (": impossible" if found.impossible else "")
    return found.flops / 1e9, found.bandwidth / 1e9, share


def _used(telemetry: Telemetry | None) -> tuple[float | None, ...]:
    """CPUs, memory, GPU, GPU memory and energy, in the units of JOBS."""
    if telemetry is None:
        return (None,) * 5
    memory, gpu_memory = (
        None if amount is None else amount / 2**30 for amount in (telemetry.memory_peak, telemetry.gpu_memory_peak)
    )
    return telemetry.cpus, memory, telemetry.gpu_utilisation, gpu_memory, telemetry.joules


def _used_over_time(name: str, results: Sequence[Result], used: Mapping[Key, UsageCurves]) -> Iterable[Used]:
    """For each device, the first job whose samples were kept."""
    first: dict[str, Result] = {}
    for result in results:
        if key_of(result) in used:
            first.setdefault(result.job.device, result)
    for device, result in first.items():
        charts = usage.of(f"{name}-{device}", used[key_of(result)])
        yield Used(job=clip(result.job.id), charts=tuple(charts))


def _by_provenance(results: Sequence[Result], trees: Mapping[str, Tree]) -> list[SharedProvenance]:
    """The provenance of results; results with the same facts and commands, such as repeats, share one."""
    groups: dict[tuple[tuple[Facts, ...], tuple[str, ...]], list[Result]] = {}
    for result in results:
        groups.setdefault((_facts(result), again.commands(result)), []).append(result)
    found = []
    for (facts, commands), same in groups.items():
        first = same[0]
        tree = trees.get(first.provenance.code.workloads_sha256 or "")
        shared = SharedProvenance(
            jobs=tuple(clip(result.job.id) for result in same),
            facts=facts,
            commands=commands,
            sources=() if tree is None else sources.of_job(first.job, tree),
            no_source="" if tree is not None else NO_SOURCE,
        )
        found.append(shared)
    return found


def _facts(result: Result) -> tuple[Facts, ...]:
    """All facts, group by group. Unknown facts of an engine or a newer version are shown under their own names."""
    provenance = result.provenance
    groups: dict[str, Mapping[str, Any]] = {
        "Framework": {} if result.start is None else _framework_facts(result.start),
        "Settings": _settings(result.job),
        f"Environment ({provenance.local_engine} engine)": provenance.environment.model_dump(),
        "Data": {} if provenance.data is None else provenance.data.model_dump(),
        "Code": provenance.code.model_dump(),
        "Host": provenance.host.model_dump(),
        "Who": {"ran the orchestrator": provenance.by} if provenance.by else {},
        "Node of a cluster": provenance.node.model_dump() if provenance.node else {},
    }
    return tuple(Facts(title=clip(title), rows=tuple(_flat(values))) for title, values in groups.items() if values)


def _framework_facts(start: Start) -> dict[str, Any]:
    return {
        "version": start.version,
        **start.versions,
        "device": start.device_name or start.device,
        "threads": start.threads,
        "denormals": start.denormals,
        "fused": start.fused,
        "notes": start.notes,
    }


def _settings(job: Job) -> dict[str, Any]:
    return {
        "precision": job.precision,
        "seed": job.seed,
        **job.settings,
        "environment": job.env,
        "command": " ".join(job.argv),
        "memory": job.memory,
        "cpus": job.cpus,
        "timeout": job.timeout,
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Nested facts, with dots in their names. Empty and unknown ones are left out."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif value is not None and value not in ([], ()):
            shown = ", ".join(map(_text, value)) if isinstance(value, list | tuple) else _text(value)
            yield clip(prefix + key), clip(shown, MAX_NOTE)


def _text(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
