"""Runs and all their results in one file, to be read on another machine and in another checkout.

`orchestrator report --capsule FILE` writes one. It is sealed as a result file is: a capsule edited by hand is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from orchestrator import store
from orchestrator.errors import StoreError
from orchestrator.files import atomic_write
from orchestrator.results import Result
from orchestrator.spec import Strict


class Capsule(Strict):
    """What the file holds: specs and jobs of the runs, and each result with its provenance."""

    schema_version: Literal[1] = 1
    kind: Literal["capsule"] = "capsule"
    runs: tuple[store.Run, ...]
    results: tuple[Result, ...]


def write(path: Path, runs: Sequence[store.Run], results: Sequence[Result]) -> None:
    """Write a capsule. Raises StoreError."""
    try:
        atomic_write(path, store.sealed(Capsule(runs=tuple(runs), results=tuple(results))))
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror}", hint="name another file") from error


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
        return store.read_sealed(path, Capsule).results
    return (store.read_sealed(path, Result),)
