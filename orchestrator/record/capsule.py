"""Capsules: one file with runs and all their results, to be read on another machine and in another checkout.

`rosetta report --capsule FILE` writes one. It carries a digest as result files do: an edited capsule is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from orchestrator import files, sealed
from orchestrator.errors import StoreError, UsageError
from orchestrator.outputs import user_file
from orchestrator.record import run_folder
from orchestrator.record.certificates import Certificate
from orchestrator.record.events import Event
from orchestrator.record.results import Result, distinct, firsts, split_damaged
from orchestrator.record.usage import UsageCurves
from orchestrator.strict import Strict
from orchestrator.text import printable


class Kept(Strict):
    """A run in a capsule: spec, jobs, results with their provenance, and the certificates of its cells. A RunSource.

    Of the samples it keeps only what a report draws, a few kilobytes for a cell. A job's file may have megabytes.
    """

    run: run_folder.Run
    results: tuple[Result, ...]
    certificates: tuple[Certificate, ...] = ()
    used: dict[str, UsageCurves] = Field(default_factory=dict)  # job id → curves, for one job of each cell

    @model_validator(mode="after")
    def _belongs_together(self) -> Kept:
        jobs = {job.id: job for job in self.run.jobs}
        for result in self.results:
            job = jobs.get(result.job.id)
            if problem := "it is of no job of the run" if job is None else run_folder.foreign(self.run.id, job, result):
                raise ValueError(f"{printable(result.job.id)}: {problem}")
        return self

    @property
    def id(self) -> str:
        return self.run.id

    def read_run(self) -> run_folder.Run:
        return self.run

    def each_result(self) -> Iterator[Result | StoreError]:
        return iter(self.results)

    def events(self, job: str) -> Iterator[Event]:  # noqa: ARG002  (a capsule has no events)
        return iter(())

    def usage(self, job: str) -> UsageCurves | None:
        return self.used.get(job)


class Capsule(Strict):
    """The content of a capsule file."""

    schema_version: Literal[1] = 1
    kind: Literal["capsule"] = "capsule"
    runs: tuple[Kept, ...]


def write(path: Path, runs: Sequence[Kept]) -> None:
    """Write a capsule. Raises StoreError."""
    content = sealed.dump(Capsule(runs=tuple(runs)))
    if len(content) > sealed.MAX_BYTES:
        raise StoreError(
            f"{path}: {len(content) >> 20} MiB are more than the {sealed.MAX_BYTES >> 20} MiB that a capsule may have",
            hint="write several capsules, each with some of the runs",
        )
    try:
        with user_file(path) as file:
            file.write(content)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror}", hint="name another file") from error


def kept(source: run_folder.RunSource, certificates: Iterable[Certificate]) -> tuple[Kept, list[StoreError]]:
    """What a capsule keeps of a run, and an error for each result that cannot be read.

    Of `certificates` it keeps those of the run's cells.
    """
    run = source.read_run()
    results, damaged = split_damaged(source.each_result())
    cells = {(result.job.framework, result.job.workload, result.job.device) for result in results}
    own = (each for each in certificates if (each.framework, each.workload, each.device) in cells)
    used = {job: found for job in firsts(results) if (found := source.usage(job)) is not None}
    return Kept(run=run, results=tuple(results), certificates=tuple(own), used=used), damaged


def runs_in(path: Path) -> tuple[Kept, ...]:
    """The runs in a capsule. Raises StoreError."""
    return sealed.load(path, Capsule).runs


def results_in(path: Path) -> tuple[Result, ...]:
    """The results in a capsule or in a result file. Raises StoreError."""
    if is_capsule(path):
        return tuple(result for results in distinct(kept.results for kept in runs_in(path)) for result in results)
    return (result_in(path),)


def result_in(path: Path) -> Result:
    """The result in a result file. Raises StoreError."""
    return sealed.load(path, Result)


def require_file(path: Path, *, hint: str) -> None:
    """Raise UsageError with this hint unless `path` is a file."""
    if not files.is_file(path):
        name = str(path)[:300]
        what = f"{name} is a folder, not a file" if files.is_folder(path) else f"there is no file {name}"
        raise UsageError(what, hint=hint)


def is_capsule(path: Path) -> bool:
    """Whether a file says that it is a capsule. Raises UsageError when there is no such file."""
    require_file(path, hint="name a result file, results/RUN/JOB.json, or a capsule")
    try:
        with files.open_regular(path) as file:
            return b'"kind": "capsule"' in file.read(100)
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}", hint="is this a result file?") from error
