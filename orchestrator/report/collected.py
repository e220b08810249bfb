"""Collects what all formats of a report show: the results of runs, and their certificates."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.errors import StoreError
from orchestrator.host.peak import Peak
from orchestrator.judge.conditions import sound
from orchestrator.record.certificates import Certificate
from orchestrator.record.results import Result, distinct, split_damaged
from orchestrator.record.run_folder import Run, RunFolder, RunSource
from orchestrator.report import certified, origin, published, verdict
from orchestrator.report.certified import Known, Origin
from orchestrator.report.origin import RunOrigin
from orchestrator.report.published import Studies
from orchestrator.report.table import Table
from orchestrator.report.tables import host_by_host, tables
from orchestrator.report.verdict import VerdictLine

REFERENCE = Path("results") / "reference"


@dataclass(frozen=True, kw_only=True)
class CollectedRun:
    """A run with the results that can be shown, and the reason for each that cannot."""

    source: RunSource
    run: Run
    results: tuple[Result, ...]
    damaged: tuple[StoreError, ...]


@dataclass(frozen=True, kw_only=True)
class ReportContent:
    """What a report shows. `root` is the checkout, which has the published studies and the workload code."""

    root: Path
    runs: tuple[CollectedRun, ...]
    known: Known
    peak: Peak | None = None  # of the reader's machine

    @property
    def results(self) -> list[Result]:
        """The results of all runs."""
        return [result for each in self.runs for result in each.results]

    @property
    def damaged(self) -> list[StoreError]:
        """Why results are missing."""
        return [error for each in self.runs for error in each.damaged]

    @property
    def origins(self) -> list[RunOrigin]:
        """The runs, in the order of their results."""
        return [origin.of(each.source.id, each.run.began, each.results) for each in self.runs]

    def studies(self) -> Studies:
        """The published studies that tables show next to the results. Raises StoreError."""
        return published.load(self.root / REFERENCE)

    def tables(self) -> list[Table]:
        """The tables of all results. Raises StoreError."""
        results = self.results
        return [*tables(results, self.studies(), self.known), *host_by_host(results)]

    def log_of(self, result: Result) -> Path | None:
        """The log that says most about a job; None for a job of a capsule, which holds no logs."""
        for each in self.runs:
            if isinstance(each.source, RunFolder) and any(result is other for other in each.results):
                return each.source.log_of(result.job.id)
        return None

    @functools.cached_property
    def verdict(self) -> tuple[VerdictLine, ...]:
        """The answer in a few sentences, which every form shows first."""
        return verdict.of(self.results, self.known)


def of_runs(
    sources: Sequence[RunSource],
    root: Path,
    origins: Sequence[Origin] | None = None,
    own: Iterable[Certificate] = (),
    peak: Peak | None = None,
) -> ReportContent:
    """Read all results of some runs. Raises StoreError for a run that cannot be read at all.

    A result that several of them have, such as a run and its capsule, counts once. `origins` has one for each run;
    without it, no result has a mark. `own` are the reader's certificates, `peak` is what their machine can do at most.
    """
    read = list(map(_read, sources))
    once = distinct(run.results for run in read)
    runs = tuple(replace(run, results=tuple(results)) for run, results in zip(read, once, strict=True))
    held = zip(origins, (run.results for run in runs), strict=True) if origins is not None else ()
    return ReportContent(root=root, runs=runs, known=certified.known(held, own), peak=peak)


def left_out(damaged: Sequence[StoreError]) -> StoreError:
    """The error that lists all results that a report lacks."""
    return StoreError(
        "\n".join(["left out of this report:", *(error.message for error in damaged)]), hint=damaged[0].hint
    )


def _read(source: RunSource) -> CollectedRun:
    run = source.read_run()
    results, damaged = split_damaged(sound(source.each_result(), source.id))
    return CollectedRun(source=source, run=run, results=tuple(results), damaged=tuple(damaged))
