"""Runs and all their results in one file, to be read on another machine and in another checkout.

`orchestrator report --capsule FILE` writes one. It is sealed as a result file is: a capsule edited by hand is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from orchestrator import store
from orchestrator.certificates import Certificate
from orchestrator.errors import StoreError
from orchestrator.files import atomic_write
from orchestrator.protocol import Event
from orchestrator.results import Result
from orchestrator.spec import Strict


class Kept(Strict):
    """A run: its spec and jobs, each result with its provenance, and the certificates of its cells. A store.Source."""

    run: store.Run
    results: tuple[Result, ...]
    certificates: tuple[Certificate, ...] = ()

    def read_run(self) -> store.Run:
        return self.run

    def each_result(self, complain: Callable[[StoreError], None]) -> Iterator[Result]:  # noqa: ARG002  (it is whole)
        return iter(self.results)

    def events(self, job: str) -> Iterator[Event]:  # noqa: ARG002  (a capsule keeps none)
        return iter(())

    def telemetry(self, job: str) -> Iterator[bytes]:  # noqa: ARG002  (nor samples)
        return iter(())


class Capsule(Strict):
    """What the file holds."""

    schema_version: Literal[1] = 1
    kind: Literal["capsule"] = "capsule"
    runs: tuple[Kept, ...]


def write(path: Path, runs: Sequence[Kept]) -> None:
    """Write a capsule. Raises StoreError."""
    try:
        atomic_write(path, store.sealed(Capsule(runs=tuple(runs))))
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror}", hint="name another file") from error


def kept(source: store.Source, certificates: Iterable[Certificate], complain: Callable[[StoreError], None]) -> Kept:
    """What a capsule keeps of a run: of `certificates`, those of its cells. Damaged results are told to `complain`."""
    results = tuple(source.each_result(complain))
    cells = {(result.job.framework, result.job.workload, result.job.device) for result in results}
    own = (each for each in certificates if (each.framework, each.workload, each.device) in cells)
    return Kept(run=source.read_run(), results=results, certificates=tuple(own))


def runs_in(path: Path) -> tuple[Kept, ...]:
    """The runs in a capsule. Raises StoreError."""
    return store.read_sealed(path, Capsule).runs


def results_in(path: Path) -> tuple[Result, ...]:
    """The results in a capsule or in a result file. Raises StoreError."""
    if not store.is_file(path):
        raise StoreError(
            f"there is no file {str(path)[:300]}", hint="name a result file, results/RUN/JOB.json, or a capsule"
        )
    try:
        with path.open("rb") as file:
            head = file.read(100)
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}", hint="is this a result file?") from error
    if b'"kind": "capsule"' in head:
        return tuple(result for kept in runs_in(path) for result in kept.results)
    return (store.read_sealed(path, Result),)
