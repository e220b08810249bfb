"""Spec × catalog × device → the jobs of a run, fully resolved and frozen. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from orchestrator import protocol
from orchestrator.catalog import COMMAND, Catalog, Framework, Image
from orchestrator.errors import UsageError
from orchestrator.host import Gpu, find_gpu
from orchestrator.spec import Spec, Strict, WorkloadName

Device = Literal["cpu", "gpu"]
DatasetName = Literal["cifar10", "imdb", "images"]

DATASETS: Mapping[WorkloadName, DatasetName] = {"cnn": "cifar10", "rnn": "imdb", "resnet50": "images"}
INFERENCE_BATCHES: Mapping[Device, int] = {"gpu": 40, "cpu": 8}  # the 2017 study's


class Place(NamedTuple):
    """Where every job of a run computes."""

    device: Device
    gpus: tuple[str, ...]  # UUIDs; none on a CPU


class Job(Strict):
    """One framework × workload × device × repeat. Everything that decides its outcome, but for the environment."""

    id: str
    framework: str
    title: str
    image: str
    module: str
    command: str = COMMAND  # as the image's label has it
    env: dict[str, str]
    workload: WorkloadName
    dataset: DatasetName
    device: Device
    gpus: tuple[str, ...] = ()  # UUIDs of those it gets
    repeat: int
    precision: str
    seed: int
    trace: int
    settings: dict[str, Any]
    timeout: float  # seconds
    accuracy: tuple[float, float] | None = None  # what real data should give
    silence: float = 1800.0  # seconds without an event
    retries: int = 0
    memory: int | None  # bytes
    cpus: int | None

    @property
    def argv(self) -> tuple[str, ...]:
        """The command, the same in every engine; its first word is looked up in the environment."""
        words = shlex.split(self.command)
        return tuple(word.replace("{module}", self.module).replace("{workload}", self.workload) for word in words)

    def for_workload(self) -> dict[str, Any]:
        """The JSON document a workload reads: see workloads/common/PROTOCOL.md."""
        keys = ("framework", "workload", "device", "precision", "seed", "trace", "settings")
        return {"protocol": protocol.VERSION, **{key: getattr(self, key) for key in keys}}


def plan(spec: Spec, catalog: Catalog, device: Device, gpus: Sequence[Gpu] = ()) -> list[Job]:
    """The jobs of `spec` in the order they run: round by round, so that drift hits every framework alike.

    `gpus` are this machine's, of which the spec chooses. Raises UsageError when that one is not there, or when
    nothing is left to run.
    """
    rows = catalog.frameworks
    place = Place(device, _choose(gpus, spec.gpu) if device == "gpu" else ())
    names = spec.frameworks or tuple(rows)
    jobs = [
        _job(spec, *rows[name], workload, place, repeat)
        for repeat in range(1, spec.repeats + 1)
        for workload in spec.workloads
        for name in names
        if workload in rows[name][0].workloads
    ]
    if not jobs:
        raise UsageError(
            f"nothing to run: {', '.join(names)} has no {', '.join(spec.workloads)}",
            hint="`orchestrator list` shows who has what",
        )
    return jobs


def _choose(gpus: Sequence[Gpu], choice: str) -> tuple[str, ...]:
    """UUIDs of the GPUs that every job gets."""
    if choice == "all":
        return tuple(gpu.uuid for gpu in gpus)
    found = find_gpu(gpus, choice)
    if found is None:
        there = "; ".join(f"{index}: {gpu.name}, {gpu.uuid}" for index, gpu in enumerate(gpus))
        raise UsageError(f"there is no GPU {choice!r} here", hint=f"--gpu all, or one of {there}")
    return (found.uuid,)


def _job(spec: Spec, framework: Framework, image: Image, workload: WorkloadName, place: Place, repeat: int) -> Job:
    settings = getattr(spec, workload).model_dump()
    accuracy = settings.pop("accuracy", None)
    if workload == "resnet50" and settings["batches"] is None:
        settings["batches"] = INFERENCE_BATCHES[place.device]
    return Job(
        id=f"{framework.id}-{workload}-{place.device}-{repeat}",
        framework=framework.id,
        title=framework.title,
        image=image.name,
        module=framework.module,
        command=image.command,
        env=dict(framework.env),
        workload=workload,
        dataset=DATASETS[workload],
        device=place.device,
        gpus=place.gpus,
        repeat=repeat,
        precision=spec.precision,
        seed=spec.seed,
        trace=spec.trace,
        settings=settings,
        accuracy=accuracy,
        timeout=spec.limits.timeout,
        silence=spec.limits.silence,
        retries=spec.retries,
        memory=spec.limits.memory,
        cpus=spec.limits.cpus,
    )
