"""What a reader has to know before any number: failed jobs, made-up data, doubtful figures. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from orchestrator.record import fingerprint
from orchestrator.record.results import Result
from orchestrator.record.run_folder import Run
from orchestrator.record.usage import UsageCurves
from orchestrator.report.curves import Curve
from orchestrator.report.notes import doubts
from orchestrator.text import MAX_NAME, MAX_NOTE, clip

MAX_LISTED = 8  # names in a notice


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A run as the store has it."""

    run: Run
    results: tuple[Result, ...]
    curves: Mapping[str, Curve]  # job id → what its events say, of those that show it
    usage: Mapping[str, UsageCurves] = field(
        default_factory=dict
    )  # job id → what it used over time, of those that show it
    damaged: tuple[str, ...] = ()  # why results are missing that cannot be read


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Something a reader has to know before any number."""

    level: Literal["danger", "caution"]
    title: str
    text: str


def of(measured: Sequence[Measured]) -> Iterable[Notice]:
    """All there is to say about these runs, the worst of each kind once."""
    results = [result for each in measured for result in each.results]
    synthetic = [result for result in results if result.status == "ok" and _is_synthetic(result)]
    if synthetic:
        yield Notice(
            level="danger",
            title="Synthetic data",
            text="Times are real; accuracies are of made-up data and comparable with no published figure: "
            + _listed(f"{result.job.title} {result.job.workload}" for result in synthetic),
        )
    for status in dict.fromkeys(result.status for result in results if result.status != "ok"):
        which = [result.job.id for result in results if result.status == status]
        jobs = "job" if len(which) == 1 else "jobs"
        yield Notice(
            level="danger" if status in {"failed", "timeout"} else "caution",
            title=f"{len(which)} {jobs}: {status}",
            text=_listed(which),
        )
    absent = [job for each in measured for job in _absent(each)]
    if absent:
        yield Notice(level="caution", title=f"{len(absent)} planned, without a result", text=_listed(absent))
    for damaged in (message for each in measured for message in each.damaged):
        yield Notice(level="danger", title="A result was left out", text=clip(damaged, MAX_NOTE))
    disturbed = [result.job.id for result in results if result.neighbours]
    if disturbed:
        yield Notice(
            level="caution",
            title="Disturbed",
            text=f"Other programs used the processors meanwhile: {_listed(disturbed)}",
        )
    doubtful = [f"{result.job.id}: {doubt}" for result in results for doubt in doubts(result)]
    if doubtful:
        yield Notice(level="caution", title="Doubtful", text=_listed(doubtful, MAX_NOTE, "; "))
    different = {id(result.provenance): result.provenance for result in results}  # repeats have one in common
    mixed = fingerprint.mixed([provenance.code for provenance in different.values()])
    if mixed:
        yield Notice(
            level="caution",
            title="Several versions of the workloads",
            text="Not all rows were measured with the same code; each row's provenance says with which. "
            f"Not the same in all: {_listed(mixed)}",
        )
    dirty = [result.job.id for result in results if result.provenance.code.get("git_dirty")]
    if dirty:
        yield Notice(
            level="caution",
            title="Uncommitted changes",
            text=f"The checkout differed from its commit when these ran: {_listed(dirty)}",
        )


def _absent(measured: Measured) -> list[str]:
    """The jobs of a run that have no result."""
    there = {result.job.id for result in measured.results}
    return [job.id for job in measured.run.jobs if job.id not in there]


def _is_synthetic(result: Result) -> bool:
    data = result.provenance.data
    return data is not None and data.source == "synthetic" and result.job.declaration.trains


def _listed(names: Iterable[str], length: int = MAX_NAME, between: str = ", ") -> str:
    told = [clip(name, length) for name in dict.fromkeys(names)]
    more = len(told) - MAX_LISTED
    return between.join(told[:MAX_LISTED]) + (f" and {more:,} more" if more > 0 else "")
