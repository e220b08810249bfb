"""How large the inputs of jobs are, before any of them is made.

A file from somebody else says how large the inputs are that it wants: 41 thousand images for one batch, or a batch
order for a million epochs. So sizes are computed from the settings first, and run/cost.py decides what they allow.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orchestrator.errors import DataError
from orchestrator.inputs import data_sources, dataset_folder, datasets, orders, weights
from orchestrator.inputs.array_format import SPLITS
from orchestrator.inputs.dataset import GeneratedDataset, LabelledDataset
from orchestrator.plan.jobs import Job
from orchestrator.plan.spec import DatasetChoice

_INDEX = 4  # bytes of a sample's place in a batch order
# Bytes a second, on two CPUs of a Xeon in 2026: a batch order is computed twice, each time at 95 ns for a sample.
_ORDER_RATE = 20e6
_RATE = 300e6


@dataclass(frozen=True, kw_only=True)
class InputSize:
    """One input of a job. Inputs with equal `places` are the same files, and are made once."""

    what: str  # for messages: "images of resnet50"
    places: tuple[str, ...]  # patterns of paths in the cache: it is there if any of them exists
    disk: int  # bytes in the cache
    memory: int = 0  # bytes that a job needs at least, because it reads the whole input into its memory
    rate: float = _RATE  # bytes that are made in a second, about

    @property
    def seconds(self) -> float:
        """About how long making it takes."""
        return self.disk / self.rate

    def is_there(self, cache: Path) -> bool:
        """Whether it was made before. Whether it is undamaged is checked when it is used."""
        return any(next(iter(cache.glob(place)), None) is not None for place in self.places)


def of_jobs(jobs: Iterable[Job], choice: DatasetChoice, cache: Path) -> list[InputSize]:
    """The inputs of `jobs`, each once, whether they are in `cache` or not.

    The sizes follow from the settings. For a training on all samples, the number of samples is that of the data in
    `cache`, or that of the official data where there are none. Raises DataError for a dataset that does not exist.
    """
    found: dict[tuple[str, ...], InputSize] = {}
    seen = set()
    for job in jobs:
        key = (job.workload, job.dataset, job.seed, repr(job.settings))
        if key not in seen:
            seen.add(key)
            found.update((size.places, size) for size in _of_job(job, choice, cache))
    return list(found.values())


def _of_job(job: Job, choice: DatasetChoice, cache: Path) -> Iterator[InputSize]:
    yield InputSize(
        what=f"weights of {job.workload}",
        places=(f"weights/{weights.stem(job.workload, job.seed, job.settings)}-*.npz",),
        disk=np.dtype(np.float32).itemsize * sum(math.prod(shape) for shape in _weight_shapes(job)),
    )
    known = datasets.definition(job.dataset)
    if isinstance(known, GeneratedDataset):
        yield _generated(job, known)
        return
    yield from _labelled(job.dataset, known, choice)
    order = orders.of_job(job, job.settings["train_samples"] or _available(job.dataset, known, choice, cache))
    yield InputSize(
        what=f"batch order of {job.workload}",
        places=(f"orders/{order.name}-*.npy",),
        disk=math.prod(order.shape) * _INDEX,
        rate=_ORDER_RATE,
    )


def _weight_shapes(job: Job) -> Iterator[tuple[int, ...]]:
    return (each.shape for each in job.declaration.weights_for(job.settings).values())


def _generated(job: Job, known: GeneratedDataset) -> InputSize:
    """The input of an inference workload. Jobs read all of it into memory before the clock starts."""
    parts = known.generate(job.seed, job.settings).values()  # makes nothing until its parts are taken
    size = sum(np.dtype(each.dtype).itemsize * math.prod(each.shape) for each in parts)
    place = _place(job.dataset, "synthetic", known.variant(job.seed, job.settings))
    return InputSize(what=f"{job.dataset} of {job.workload}", places=(place,), disk=size, memory=size)


def _labelled(name: str, known: LabelledDataset, choice: DatasetChoice) -> Iterator[InputSize]:
    """The data of a training. Imported data are there, or cannot be made."""
    form = known.format
    arrays = (form.train + form.test) * form.sample_bytes
    variant = f"r{known.recipe}-seed{data_sources.SYNTHETIC_SEED}-{form.train}x{form.test}"
    synthetic = _place(name, "synthetic", variant)
    official, imported = _place(name, "official"), _place(name, "imported")
    match choice:
        case "imported":
            return
        case "synthetic":
            yield InputSize(what=f"synthetic {name}", places=(synthetic,), disk=arrays)
        case _:
            # With auto, a stand-in that is there is used where nothing can be downloaded.
            others = {"official": (), "real": (imported,), "auto": (imported, synthetic)}[choice]
            yield InputSize(what=name, places=(official, *others), disk=arrays + known.archive.size)


def _available(name: str, known: LabelledDataset, choice: DatasetChoice, cache: Path) -> int:
    """How many training samples there are."""
    sources = {"official": ["official"], "imported": ["imported"], "synthetic": []}
    for source in sources.get(choice, ["official", "imported"]):
        folder = dataset_folder.folder_of(cache, name, source)
        try:
            if folder.exists():
                return known.format.count(dataset_folder.describe(folder).shapes, SPLITS[0])
        except DataError:  # damaged: the error comes when it is used
            continue
    return known.format.train


def _place(name: str, source: str, variant: str = "") -> str:
    return dataset_folder.folder_of(Path(), name, source, variant).as_posix()
