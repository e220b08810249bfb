"""The notices above all tables: failed jobs, synthetic data, doubtful figures. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from orchestrator.errors import StoreError
from orchestrator.judge import disturbances
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
    """A run and everything that was recorded about it."""

    run: Run
    results: tuple[Result, ...]
    curves: Mapping[str, Curve]  # job id → its curve, for the jobs that are drawn
    usage: Mapping[str, UsageCurves] = field(default_factory=dict)  # job id → what it used over time, for the same jobs
    damaged: tuple[StoreError, ...] = ()  # one for each result that cannot be read


@dataclass(frozen=True, kw_only=True)
class Notice:
    """A warning that is shown above all tables."""

    level: Literal["danger", "caution"]
    title: str
    text: str


def of(measured: Sequence[Measured]) -> Iterator[Notice]:
    """The notices for these runs: about the data, the jobs without figures, the measurements and the code."""
    results = [result for each in measured for result in each.results]
    yield from _about_data(results)
    yield from _about_absent_figures(measured, results)
    yield from _about_measurements(results)
    yield from _about_code(results)


def _about_data(results: Sequence[Result]) -> Iterator[Notice]:
    synthetic = [result for result in results if result.status == "ok" and _is_synthetic(result)]
    if synthetic:
        yield Notice(
            level="danger",
            title="Synthetic data",
            text="Times are real. Accuracies come from synthetic data and cannot be compared with published ones: "
            + _listed(f"{result.job.title} {result.job.workload}" for result in synthetic),
        )


def _about_absent_figures(measured: Sequence[Measured], results: Sequence[Result]) -> Iterator[Notice]:
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
    for error in (error for each in measured for error in each.damaged):
        yield Notice(level="danger", title="A result was left out", text=clip(error.message, MAX_NOTE))


def _about_measurements(results: Sequence[Result]) -> Iterator[Notice]:
    found = [(result.job.id, disturbances.of_result(result)) for result in results]
    disturbed = [f"{job}: {'; '.join(each.text for each in reasons)}" for job, reasons in found if reasons]
    if disturbed:
        yield Notice(
            level="caution",
            title="Disturbed",
            text="These jobs did not have their processors to themselves. They come after all others in the tables. "
            + _listed(disturbed, MAX_NOTE, "; "),
        )
    doubtful = [f"{result.job.id}: {doubt}" for result in results for doubt in doubts(result)]
    if doubtful:
        yield Notice(level="caution", title="Doubtful", text=_listed(doubtful, MAX_NOTE, "; "))


def _about_code(results: Sequence[Result]) -> Iterator[Notice]:
    mixed = fingerprint.mixed((result.job.framework, result.provenance.code) for result in results)
    if mixed:
        yield Notice(
            level="caution",
            title="Several versions of the workloads",
            text="Not all frameworks were measured with the same version of the code that they share. The provenance "
            f"of each row names its code. What differs: {_listed(mixed)}",
        )
    dirty = [result.job.id for result in results if result.provenance.code.git_dirty]
    if dirty:
        yield Notice(
            level="caution",
            title="Uncommitted changes",
            text=f"The checkout differed from its commit when these jobs ran: {_listed(dirty)}",
        )


def _absent(measured: Measured) -> list[str]:
    """The jobs of a run that have no result."""
    there = {result.job.id for result in measured.results}
    return [job.id for job in measured.run.jobs if job.id not in there]


def _is_synthetic(result: Result) -> bool:
    data = result.provenance.data
    return data is not None and data.source == "synthetic" and result.job.declaration.trains


def _listed(names: Iterable[str], length: int = MAX_NAME, between: str = ", ") -> str:
    shown = [clip(name, length) for name in dict.fromkeys(names)]
    more = len(shown) - MAX_LISTED
    return between.join(shown[:MAX_LISTED]) + (f" and {more:,} more" if more > 0 else "")
