"""The files a job reads: dataset, batch order, weights. The same bytes for every framework and every job of a run.

Everything lives in the cache, named by its content. A job gets paths and their fingerprints. Files are checked when a
run first uses them. Before each later job it is checked that they are still the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orchestrator.errors import DataError
from orchestrator.files import READ_ONLY, atomic_file, cache_error, identity, sha256_of
from orchestrator.inputs import data_sources, dataset_folder, datasets, frozen, npy, orders, weights
from orchestrator.inputs.array_format import SPLITS
from orchestrator.inputs.dataset_folder import Dataset
from orchestrator.inputs.orders import Order
from orchestrator.plan.jobs import Job
from orchestrator.plan.spec import DatasetChoice
from orchestrator.plan.workload import TrainingWorkload
from orchestrator.record.results import DataFacts


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """A job's input files by their name below BENCH_INPUTS, and what must come of them."""

    files: Mapping[str, Path]
    facts: DataFacts
    train_samples: int | None  # in an epoch, before the last partial batch is left out; None for inference
    test_samples: int | None  # how many the workload has to score; None for inference


class Store:
    """Makes inputs on demand and remembers what it has verified in this process."""

    def __init__(self, *, cache: Path, choice: DatasetChoice) -> None:
        self._cache = cache
        self._choice = choice
        self._datasets: dict[tuple[object, ...], Dataset] = {}
        self._made: dict[tuple[object, ...], tuple[Path, str]] = {}
        self._seen: dict[Path, tuple[int, ...]] = {}  # what identified each file's content when it was checked

    def for_job(self, job: Job) -> Inputs:
        """The inputs of `job`, made or verified now unless they were before. Raises DataError."""
        dataset = self._dataset(job)
        files = dict(dataset.files)
        hashes = {"weights.npz": self._weights(job)}
        wanted: dict[str, int] = {}
        workload = job.declaration
        if isinstance(workload, TrainingWorkload):
            form = datasets.labelled(job.dataset).format
            there = {split: form.count(dataset.shapes, split) for split in SPLITS}
            order = orders.of_job(job, _given(job, dataset, "train", there["train"]))
            _given(job, dataset, "test", there["test"])
            wanted = _wanted(job, workload, dataset, there)
            hashes["order.npy"] = self._order(order)
        files.update({name: path for name, (path, _) in hashes.items()})
        facts = DataFacts(
            label=dataset.label,
            source=dataset.source,
            fingerprint=dataset.fingerprint,
            inputs={name: digest for name, (_, digest) in hashes.items()},
        )
        return Inputs(files=files, facts=facts, train_samples=wanted.get("train"), test_samples=wanted.get("test"))

    def prepare_datasets(self, jobs: Iterable[Job]) -> None:
        """Make or verify the labelled datasets of `jobs`. What fails now fails the jobs later."""
        for job in {job.dataset: job for job in jobs if job.declaration.trains}.values():
            with contextlib.suppress(DataError):
                self._dataset(job)

    def _dataset(self, job: Job) -> Dataset:
        if job.declaration.trains:
            key: tuple[object, ...] = (job.dataset,)
        else:
            key = (job.dataset, job.seed, repr(job.settings))
        known = self._datasets.get(key)
        if known is None:
            if job.declaration.trains:
                found = data_sources.resolve(job.dataset, self._choice, cache=self._cache)
            else:
                found = data_sources.generate(job.dataset, job.seed, job.settings, cache=self._cache)
            known = self._datasets[key] = frozen.freeze(found, self._cache)
        elif not self._unchanged(known.files.values()):
            checked = dataset_folder.find(known.folder)
            if checked is None or checked.fingerprint != known.fingerprint:
                raise DataError(f"{known.folder} was changed during the run", hint="start the run again")
        self._remember(known.files.values())
        return known

    def _weights(self, job: Job) -> tuple[Path, str]:
        key = ("weights", weights.stem(job.workload, job.seed, job.settings))
        if key not in self._made or not self._unchanged([self._made[key][0]]):
            self._made[key] = weights.write(job.workload, job.seed, cache=self._cache, settings=job.settings)
            self._remember([self._made[key][0]])
        return self._made[key]

    def _order(self, order: Order) -> tuple[Path, str]:
        key = ("order", order.name)
        if key not in self._made or not self._unchanged([self._made[key][0]]):
            self._made[key] = _write_order(self._cache / "orders", order)
            self._remember([self._made[key][0]])
        return self._made[key]

    def _remember(self, paths: Iterable[Path]) -> None:
        self._seen.update((path, identity(path)) for path in paths)

    def _unchanged(self, paths: Iterable[Path]) -> bool:
        """Whether these files are those that were checked, as far as the file system knows."""
        try:
            return all(self._seen[path] == identity(path) for path in paths)
        except FileNotFoundError:
            return False


def _write_order(folder: Path, order: Order) -> tuple[Path, str]:
    """Write a batch order unless the file is there; return it and its SHA-256. Raises DataError."""
    digest = hashlib.sha256()
    for piece in npy.content(np.int32, order.shape, order.rows()):
        digest.update(piece)
    path = folder / f"{order.name}-{digest.hexdigest()[:16]}.npy"
    try:
        if not path.is_file() or sha256_of(path) != digest.hexdigest():
            with atomic_file(path) as stream:  # computed again: the name had to be known, and memory is bounded
                for piece in npy.content(np.int32, order.shape, order.rows()):
                    stream.write(piece)
                os.fchmod(stream.fileno(), READ_ONLY)
    except OSError as error:
        raise cache_error(DataError, path, error) from error
    return path, digest.hexdigest()


def _given(job: Job, dataset: Dataset, split: str, available: int) -> int:
    """How many samples of a split the job may use. Raises DataError when it asks for more than there are."""
    wanted = job.settings[f"{split}_samples"]
    if wanted is not None and wanted > available:
        raise DataError(
            f"{job.workload}.{split}_samples is {wanted:,}, but {dataset.label} has {available:,}",
            hint=f"use {available} or fewer, or leave it out to use all",
        )
    return int(wanted or available)


def _wanted(job: Job, workload: TrainingWorkload, dataset: Dataset, there: Mapping[str, int]) -> dict[str, int]:
    """How many samples an epoch and a scoring have; `there` are those of the dataset. Raises DataError."""
    settings = job.settings
    wanted = {
        "train": workload.epoch_samples(settings, there["train"]),
        "test": workload.scored_samples(settings, there["test"]),
    }
    if wanted["train"] < settings["batch"]:
        available = there["train"]
        raise DataError(f"{dataset.label} has {available:,} samples, fewer than one batch", hint="use a smaller batch")
    if wanted["test"] < 1:
        raise DataError(
            f"{dataset.label} has no whole window among {there['test']:,} test {workload.samples}",
            hint=f"use a smaller {job.workload}.context, or more test_samples",
        )
    return wanted
