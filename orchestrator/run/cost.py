"""What a run would cost in disk, memory and time, computed before any of it is spent.

A stored result, a capsule or a spec may come from anybody, and a few digits in it decide what a run costs. What this
machine cannot give is refused before anything is made. What is much is asked about (cli/consent.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import CostError
from orchestrator.files import CLEAN, OTHER_DISK, free_bytes
from orchestrator.inputs import datasets, sizes
from orchestrator.inputs.dataset import LabelledDataset
from orchestrator.inputs.sizes import InputSize
from orchestrator.plan.durations import LONGEST
from orchestrator.plan.jobs import Job
from orchestrator.plan.spec import DatasetChoice
from orchestrator.plan.workload import InferenceWorkload
from orchestrator.record.results import Result
from orchestrator.text import in_bytes

# The study's full settings take 1.6 GB: ten times the batches of images, or ten more datasets, are not expected.
MUCH_DISK = 5_000_000_000
MUCH_TIME = 1800.0  # seconds; longer than a person waits in front of a terminal
_SMALLER = "use smaller settings or fewer jobs"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What jobs need. Disk and memory in bytes, at least; time about."""

    disk: int = 0  # what the cache grows by
    memory: int = 0  # of the job that needs most
    seconds: float = 0.0  # to make the inputs, and to run the jobs where that is known
    largest: str = ""  # the input that `memory` is for

    @property
    def is_much(self) -> bool:
        """Whether a file from somebody else should not cost this without a question."""
        return self.disk > MUCH_DISK or self.seconds > MUCH_TIME

    def in_words(self, cache: Path) -> str:
        """`about 38.5 GB in /home/me/.cache/rosetta and 3 h 20 min`."""
        parts = [f"{in_bytes(self.disk)} in {cache}"] if self.disk else []
        parts += [in_hours(self.seconds)] if self.seconds >= 1 or not parts else []
        return "about " + " and ".join(parts)


@dataclass(frozen=True, kw_only=True)
class Room:
    """What there is, in bytes; None where it is not known."""

    disk: int | None
    memory: int | None


def of_inputs(inputs: Iterable[InputSize], cache: Path) -> Cost:
    """The cost of the inputs that are not in `cache` yet, and the memory for all of them."""
    inputs = list({each.places: each for each in inputs}.values())
    missing = [each for each in inputs if not each.is_there(cache)]
    largest = max(inputs, key=lambda each: each.memory, default=None)
    return Cost(
        disk=sum(each.disk for each in missing),
        memory=largest.memory if largest else 0,
        seconds=sum(each.seconds for each in missing),
        largest=largest.what if largest else "",
    )


def of_jobs(jobs: Iterable[Job], choice: DatasetChoice, cache: Path) -> Cost:
    """The cost of making the inputs of `jobs`. Raises DataError for a dataset that does not exist."""
    return of_inputs(sizes.of_jobs(jobs, choice, cache), cache)


def seconds_of(originals: Iterable[Result], jobs: Sequence[Job]) -> float:
    """How long `jobs`, the repeats of a stored job, take by its own figures.

    The slowest of `originals` counts. Figures of less work than the job's settings ask for are scaled up, so that
    a file cannot ask for a million epochs with the seconds of two.
    """
    slowest = max((max(each.seconds, _of_all_parts(each, job)) for each in originals for job in jobs[:1]), default=0.0)
    return len(jobs) * max(slowest, 0.0)


def seconds_of_rest(jobs: Iterable[Job], known: Collection[Result]) -> float:
    """About how long `jobs` take at the rates of `known` results of the same workload and device.

    Results of a job's own framework count, or else those of any; the slowest of them. Nothing for a job without any.
    """
    total = 0.0
    for job in jobs:
        same = [each for each in known if (each.job.workload, each.job.device) == (job.workload, job.device)]
        own = [each for each in same if each.job.framework == job.framework]
        total += max((_of_all_parts(each, job) for each in own or same), default=0.0)
    return total


def room(cache: Path, memory: int | None) -> Room:
    """What there is: on the disk of `cache`, and `memory` for a job."""
    return Room(disk=free_bytes(cache), memory=memory)


def require_room(cost: Cost, there: Room, cache: Path) -> None:
    """Raise CostError when a job needs more memory or the inputs need more disk than there is."""
    if there.memory is not None and cost.memory > there.memory:
        raise CostError(
            f"the {cost.largest} need {in_bytes(cost.memory)} of memory, and a job can have at most "
            f"{in_bytes(there.memory)} here",
            hint=f"{_SMALLER}, or a machine with more memory",
        )
    if there.disk is not None and cost.disk > there.disk:
        raise CostError(
            f"the inputs need {in_bytes(cost.disk)} in {cache}, which has {in_bytes(there.disk)} left",
            hint=f"{_SMALLER}, free some space there ({CLEAN}), or {OTHER_DISK}",
        )


def in_hours(seconds: float) -> str:
    """`3 h 20 min`, `12 min`, or `40 s`."""
    if seconds > LONGEST:  # figures of a stored file may be of any size
        return "30 years or more"
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours >= 100:
        return f"{hours:,} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _of_all_parts(result: Result, job: Job) -> float:
    """The seconds of all epochs, or of the cold and the timed passes over all images, that `job` asks for.

    They are computed from the operations a second that `result` reached; 0 if it measured nothing.
    """
    figures = result.figures
    samples, seconds = sum(each.samples for each in figures.epochs), sum(each.seconds for each in figures.epochs)
    if not result.job.declaration.trains:
        samples, seconds = 1, 1 / figures.images_per_s if figures.images_per_s else 0.0
    if samples <= 0 or seconds <= 0:
        return 0.0
    of_a_sample = _operations(job) / _operations(result.job) / samples * seconds
    workload, settings = job.declaration, job.settings
    if isinstance(workload, InferenceWorkload):
        one_pass = settings["batches"] * settings["batch"] * of_a_sample
        return float(one_pass + max(one_pass, settings["seconds"]))
    data = datasets.definition(job.dataset)
    available = data.format.train if isinstance(data, LabelledDataset) else 0
    return int(settings["epochs"]) * workload.epoch_samples(settings, available) * of_a_sample


def _operations(job: Job) -> float:
    return job.declaration.operations_for(job.settings) or 1.0  # of a sample; only their ratio counts
