"""The files a job reads: dataset, batch order, weights. The same bytes for every framework.

Everything lives in the cache; a job gets paths and their fingerprints, never copies.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orchestrator.errors import DataError
from orchestrator.files import atomic_write, sha256_of, write_problem
from orchestrator.inputs import data_sources, orders, weights
from orchestrator.inputs.dataset_folder import Dataset
from orchestrator.plan.jobs import Job
from orchestrator.plan.spec import DatasetChoice
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

    def for_job(self, job: Job) -> Inputs:
        """The inputs of `job`, made or verified now unless they were before. Raises DataError."""
        dataset = self._dataset(job)
        files = dict(dataset.files)
        hashes = {"weights.npz": self._weights(job)}
        wanted: dict[str, int] = {}
        if job.declaration.trains:
            lengths = {split: dataset.shapes[f"y_{split}.npy"][0] for split in ("train", "test")}
            wanted = {split: _wanted(job, dataset, split, lengths[split]) for split in lengths}
            hashes["order.npy"] = self._order(job, wanted["train"])
        files.update({name: path for name, (path, _) in hashes.items()})
        facts = DataFacts(
            label=dataset.label,
            source=dataset.source,
            fingerprint=dataset.fingerprint,
            inputs={name: digest for name, (_, digest) in hashes.items()},
        )
        return Inputs(files=files, facts=facts, train_samples=wanted.get("train"), test_samples=wanted.get("test"))

    def _dataset(self, job: Job) -> Dataset:
        if job.declaration.trains:
            key: tuple[object, ...] = (job.dataset,)
            if key not in self._datasets:
                self._datasets[key] = data_sources.resolve(job.dataset, self._choice, cache=self._cache)
            return self._datasets[key]
        key = (job.dataset, job.seed, repr(job.settings))
        if key not in self._datasets:
            self._datasets[key] = data_sources.generate(job.dataset, job.seed, job.settings, cache=self._cache)
        return self._datasets[key]

    def _weights(self, job: Job) -> tuple[Path, str]:
        key = ("weights", job.workload, job.seed)
        if key not in self._made:
            self._made[key] = weights.write(job.workload, job.seed, cache=self._cache)
        return self._made[key]

    def _order(self, job: Job, samples: int) -> tuple[Path, str]:
        key = ("order", job.seed, job.settings["epochs"], samples)
        if key not in self._made:
            order = orders.batch_order(job.seed, job.settings["epochs"], samples)
            file = io.BytesIO()
            np.save(file, order)
            path = self._cache / "orders" / "seed{}-{}x{}.npy".format(*key[1:])
            _keep(path, file.getvalue())  # in every run: it is cheap, and so it cannot be stale
            self._made[key] = (path, sha256_of(path))
        return self._made[key]


def _keep(path: Path, data: bytes) -> None:
    """Make `path` hold `data`. Nothing is written where it does: the cache may be another user's. Raises DataError."""
    try:
        if path.read_bytes() == data:
            return
    except OSError:
        pass  # not there, or unreadable: write it
    try:
        atomic_write(path, data)
    except OSError as error:
        message, hint = write_problem(path, error)
        raise DataError(message, hint=hint) from error


def _wanted(job: Job, dataset: Dataset, split: str, available: int) -> int:
    wanted = job.settings[f"{split}_samples"]
    if wanted is not None and wanted > available:
        raise DataError(
            f"{job.workload}.{split}_samples is {wanted:,}, but {dataset.label} has {available:,}",
            hint=f"use {available} or fewer, or leave it out to use all",
        )
    if split == "train" and (wanted or available) < job.settings["batch"]:
        raise DataError(f"{dataset.label} has {available:,} samples, fewer than one batch", hint="use a smaller batch")
    return int(wanted or available)
