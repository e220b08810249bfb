"""What a run downloads and builds first, and how long its jobs took where they were measured.

Nothing is downloaded, built or changed here. Sizes are those that archives and images declare: an archive by its
checksum, an image by its labels `rosetta.disk.*` and `rosetta.download.*`. The size of a base image is not declared.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from orchestrator.errors import BuildError, DataError, HostError, StoreError
from orchestrator.inputs import dataset_folder, datasets
from orchestrator.inputs.dataset import LabelledDataset
from orchestrator.plan.catalog import Image
from orchestrator.plan.jobs import Job
from orchestrator.plan.spec import DatasetChoice
from orchestrator.plan.workload import Device
from orchestrator.record import capsule
from orchestrator.record.results import Result
from orchestrator.run import cost
from orchestrator.run.cost import Cost
from orchestrator.text import in_bytes

if TYPE_CHECKING:
    from orchestrator.record.run_folder import RunFolder
    from orchestrator.run.preparation import PreparedRun, Request

PUBLISHED = Path("results/published")  # of a checkout
_Source = Literal["official", "imported"]


@dataclass(frozen=True, kw_only=True)
class DatasetState:
    """What `dataset: auto` uses of one labelled dataset."""

    dataset: str
    source: _Source | None  # None: neither is here, so the official archive is downloaded
    label: str  # how tables name it
    place: str | None  # its folder in the cache
    origin: str | None  # where it came from
    download: int  # bytes still to be downloaded
    problem: str | None = None  # why the data that are here cannot be used

    def in_words(self) -> str:
        """One line for a screen."""
        if self.problem is not None:
            return f"damaged: {self.problem}"
        if self.source == "official":
            return "official"
        if self.source == "imported":
            return f"imported from {self.origin}; tables name it “{self.label}”"
        if not self.download:
            return "the official archive is downloaded; it will be prepared"
        return f"will be downloaded: {in_bytes(self.download)}"


@dataclass(frozen=True, kw_only=True)
class ImageState:
    """One image and variant that jobs run in."""

    image: str
    variant: str
    built: bool
    disk: int | None  # bytes when it is built, as its label declares; None without the label
    download: int | None  # bytes that its build downloads besides its base image, likewise


@dataclass(frozen=True, kw_only=True)
class Measured:
    """How long jobs took on the machine of a published file."""

    jobs: int
    seconds: float
    machine: str
    day: str
    file: str


@dataclass(frozen=True, kw_only=True)
class FirstRun:
    """What a run needs that is not here yet."""

    datasets: tuple[DatasetState, ...]
    cache_disk: int  # bytes that datasets and other inputs of jobs will take in the cache
    images: tuple[ImageState, ...]  # those that jobs need, built or not; empty where no Docker daemon builds them
    jobs: int
    measured: Measured | None  # None if no published file has any of the jobs

    @property
    def download(self) -> int:
        """Bytes of datasets to be downloaded."""
        return sum(each.download for each in self.datasets)

    @property
    def to_build(self) -> tuple[ImageState, ...]:
        """The images that are not built yet."""
        return tuple(each for each in self.images if not each.built)

    @property
    def build_disk(self) -> int:
        """Bytes that these images take once they are built, as far as that is declared."""
        return sum(each.disk or 0 for each in self.to_build)

    @property
    def build_download(self) -> int:
        """Bytes that their builds download besides base images, as far as that is declared."""
        return sum(each.download or 0 for each in self.to_build)

    def sentences(self) -> list[str]:
        """What is downloaded and built, and how long the jobs took where they were measured."""
        found = []
        if self.download:
            names = ", ".join(each.dataset for each in self.datasets if each.download)
            found.append(f"downloads {in_bytes(self.download)} of data ({names})")
        if count := len(self.to_build):
            names = ", ".join(each.image for each in self.to_build)
            size = f": {self.build_size()}" if self.build_disk or self.build_download else ""
            found.append(f"builds {count} image{'s' if count > 1 else ''} ({names}){size}")
        if self.measured is not None and (found or self.measured.seconds >= cost.MUCH_TIME):
            found.append(self.in_minutes())
        return found

    def build_size(self) -> str:
        """What the builds download and take of disk, as far as that is declared."""
        download = f"{in_bytes(self.build_download)} to download besides base images" if self.build_download else ""
        disk = f"{in_bytes(self.build_disk)} of disk" if self.build_disk else ""
        return ", ".join(filter(None, (download, disk)))

    def in_minutes(self) -> str:
        """How long the jobs took where they were measured; empty if they were not."""
        known = self.measured
        if known is None:
            return ""
        which = "its jobs" if known.jobs == self.jobs else f"{known.jobs} of its {self.jobs} jobs"
        return f"{which} took {cost.in_hours(known.seconds)} on {known.machine} ({known.day}, {known.file})"

    def as_json(self) -> dict[str, object]:
        """For other programs."""
        sums = {"download": self.download, "build_disk": self.build_disk, "build_download": self.build_download}
        return {**dataclasses.asdict(self), **sums}


def of_run(prepared: PreparedRun, root: Path, cache: Path) -> FirstRun:
    """What a prepared run needs. `root` is the checkout that has the published files."""
    jobs = prepared.possible
    images = {image.name: image for job in jobs for image in [prepared.catalog.frameworks[job.framework][1]]}
    builds = prepared.engine.name == "docker" and bool(jobs)
    return of_jobs(
        jobs, prepared.spec.dataset, image_states(images.values(), jobs[0].device) if builds else (), root, cache
    )


def of_jobs(
    jobs: Sequence[Job], choice: DatasetChoice, images: tuple[ImageState, ...], root: Path, cache: Path
) -> FirstRun:
    """What these jobs need, which run in `images`."""
    return FirstRun(
        datasets=dataset_states((job.dataset for job in jobs), choice, cache),
        cache_disk=cost.of_jobs(jobs, choice, cache).disk,
        images=images,
        jobs=len(jobs),
        measured=measured(jobs, root),
    )


def dataset_states(names: Iterable[str], choice: DatasetChoice, cache: Path) -> tuple[DatasetState, ...]:
    """What `choice` uses of the labelled datasets among `names`; nothing for synthetic data, which are made here."""
    wanted = dict.fromkeys(names)
    if choice == "synthetic":
        return ()
    return tuple(
        _state(name, choice, cache) for name in wanted if isinstance(datasets.definition(name), LabelledDataset)
    )


def _state(name: str, choice: DatasetChoice, cache: Path) -> DatasetState:
    known = datasets.labelled(name)
    sources: dict[DatasetChoice, tuple[_Source, ...]] = {"official": ("official",), "imported": ("imported",)}
    for source in sources.get(choice, ("official", "imported")):
        folder = dataset_folder.folder_of(cache, name, source)
        if not folder.exists():
            continue
        label, place = known.label(name, source), str(folder)
        try:
            found = dataset_folder.describe(folder)
        except DataError as error:
            return DatasetState(
                dataset=name, source=source, label=label, place=place, origin=None, download=0, problem=error.message
            )
        return DatasetState(dataset=name, source=source, label=label, place=place, origin=found.origin, download=0)
    archive = cache / "downloads" / known.archive.file
    here = archive.is_file() and archive.stat().st_size == known.archive.size
    download = 0 if here or choice == "imported" else known.archive.size
    return DatasetState(dataset=name, source=None, label=name, place=None, origin=None, download=download)


def image_states(images: Iterable[Image], device: Device) -> tuple[ImageState, ...]:
    """The images, each in its variant for `device`, and whether the Docker daemon has them; none without a daemon."""
    from orchestrator.engines.docker import images as docker_images

    variant = "cuda" if device == "gpu" else "cpu"
    chosen = [each for each in images if variant in each.locks]
    try:
        found = [each for each in docker_images.listing(chosen) if each[1] == variant]
    except HostError:
        return ()
    return tuple(
        ImageState(
            image=image.name,
            variant=variant,
            built=built is not None,
            disk=_declared(image, variant, "disk"),
            download=_declared(image, variant, "download"),
        )
        for image, _, _, built in found
    )


def _declared(image: Image, variant: str, what: Literal["disk", "download"]) -> int | None:
    from orchestrator.engines.docker import images as docker_images

    try:
        return docker_images.declared_size(image, variant, what)
    except BuildError:  # the build will say what is wrong with the label
        return None


def measured(jobs: Sequence[Job], root: Path) -> Measured | None:
    """How long most of `jobs` took in one of the published files of the checkout at `root`."""
    found = (_measured_in(path, results, jobs) for path, results in _published(root))
    return max(filter(None, found), key=lambda each: (each.jobs, each.day), default=None)


def cost_to_resume(request: Request, folder: RunFolder, prepared: PreparedRun) -> Cost:
    """What it costs to go on with a stored run: its inputs, and its jobs as far as their workloads were measured.

    They were measured in the run itself, or in a published file of the checkout.
    """
    jobs = prepared.possible
    needed = cost.of_jobs(jobs, prepared.spec.dataset, request.cache)
    published = (result for _, results in _published(request.root) for result in results)
    seconds = cost.seconds_of_rest(jobs, [*folder.results(), *published])
    return dataclasses.replace(needed, seconds=needed.seconds + seconds)


def _published(root: Path) -> Iterator[tuple[Path, list[Result]]]:
    """The published files of the checkout at `root` that can be read, and their results that succeeded."""
    for path in sorted((root / PUBLISHED).glob("*.json")):
        with contextlib.suppress(StoreError):
            yield path, [each for each in capsule.results_in(path) if each.status == "ok"]


def _measured_in(path: Path, results: Sequence[Result], jobs: Sequence[Job]) -> Measured | None:
    known = {_work(result.job): result for result in results}
    same = [known[_work(job)] for job in jobs if _work(job) in known]
    if not same:
        return None
    return Measured(
        jobs=len(same),
        seconds=sum(each.seconds for each in same),
        machine=_machine(same[0]),
        day=max(each.began for each in same)[:10],
        file=str(PUBLISHED / path.name),
    )


def _work(job: Job) -> tuple[object, ...]:
    return job.framework, job.workload, job.device, job.precision, job.trace, repr(sorted(job.settings.items()))


def _machine(result: Result) -> str:
    host = result.provenance.host
    return f"{host.cpu or 'an unknown CPU'}, {len(host.cpus_used)} CPUs"
