"""A run spec: what should be measured, as frozen pydantic models. spec_file.py reads what the user writes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pydantic
from pydantic import ByteSize, Field

from orchestrator.plan import complaints
from orchestrator.plan.durations import Duration
from orchestrator.plan.workload import Count, Settings
from orchestrator.plan.workloads import WORKLOADS
from orchestrator.strict import Strict

MAX_REPEATS = 10_000
BANDS = ("accuracy", "loss")  # keys of a workload's settings that hold the expected score
DeviceChoice = Literal["auto", "cpu", "gpu"]


def _known_engine(name: str, info: pydantic.ValidationInfo) -> str:
    known = (info.context or {}).get("engines")
    if known is not None and name not in known:
        raise complaints.unknown("engine", name, known)
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name):
        raise complaints.mistake("must be letters, digits, hyphens and underscores, at most 40")
    return name


EngineName = Annotated[str, pydantic.AfterValidator(_known_engine)]  # engines/registry.py knows which there are
DatasetChoice = Literal["auto", "real", "official", "imported", "synthetic"]
Precision = Literal["fp32", "tf32", "amp", "fp64"]


def _memory(value: Any) -> Any:
    try:
        size = pydantic.TypeAdapter(ByteSize).validate_python(value)
    except pydantic.ValidationError:
        size = None
    if size is None or not 1 << 26 <= size <= 1 << 50:
        raise complaints.mistake("must be a size from 64 MiB to 1024 TiB", "8 GiB")
    return int(size)


MemorySize = Annotated[int, pydantic.BeforeValidator(_memory)]  # bytes, written "8 GiB"


def _repeats(value: Any) -> Any:
    """A count, or "auto": one message for anything else."""
    if value != "auto" and (type(value) is not int or not 1 <= value <= MAX_REPEATS):
        raise complaints.mistake(f"must be auto, or a whole number from 1 to {MAX_REPEATS:,}", "auto")
    return value


Repeats = Annotated[int | Literal["auto"], pydantic.BeforeValidator(_repeats)]


def _known_workload(name: str) -> str:
    if name not in WORKLOADS:
        raise complaints.unknown("workload", name, WORKLOADS)
    return name


WorkloadName = Annotated[str, pydantic.AfterValidator(_known_workload)]


def _known_framework(name: str, info: pydantic.ValidationInfo) -> str:
    known = (info.context or {}).get("frameworks")
    if known is not None and name not in known:
        raise complaints.unknown("framework", name, known)
    return name


FrameworkName = Annotated[str, pydantic.AfterValidator(_known_framework)]


def _run_name(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", name):
        better = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
        raise complaints.mistake("must be lower-case letters, digits and hyphens, at most 40", better or "my-run")
    return name


def _gpu(choice: str) -> str:
    if not re.fullmatch(r"all|[0-9]{1,3}|(GPU|MIG)-[0-9a-fA-F-]{1,60}", choice):
        raise complaints.mistake("must be the number of a GPU, its UUID (`nvidia-smi -L` shows it), or all", "0")
    return choice


class Limits(Strict):
    """What one job may use. What is not given is the machine's own limit."""

    timeout: Duration = Field(default=4 * 3600.0, description="seconds until a job is stopped")
    silence: Duration = Field(default=1800.0, description="seconds without an event until a job is stopped")
    memory: MemorySize | None = Field(default=None, description="e.g. 8 GiB; at least 64 MiB")
    cpus: Count | None = Field(default=None, description="the first N of the CPUs this process may use")


class Hosts(Strict):
    """Which nodes of a cluster may run jobs: those for which everything given here holds."""

    names: Annotated[tuple[str, ...], Field(strict=False, max_length=1000)] = Field(
        default=(), description="names of nodes; * and ? stand for what they stand for in file names"
    )
    gpu: Annotated[str, Field(max_length=100)] = Field(default="", description="part of the GPU's model name")
    labels: dict[str, str] = Field(default={}, description="labels that the node was started with")
    engine: EngineName = Field(default="auto", description="the engine that runs jobs on the node")
    exclusive: bool = Field(default=True, description="one job at a time on a node; else as many as its CPUs allow")


class SpecBase(Strict):
    """One run: which frameworks, which workloads, how, where, how often. `Spec` adds each workload's own settings."""

    name: Annotated[str, pydantic.AfterValidator(_run_name)]
    description: Annotated[str, Field(max_length=500)] = ""
    frameworks: Annotated[tuple[FrameworkName, ...], Field(strict=False, max_length=1000)] = Field(
        default=(), description="rows of the tables; all when empty"
    )
    workloads: Annotated[tuple[WorkloadName, ...], Field(strict=False, min_length=1, max_length=100)] = tuple(WORKLOADS)
    device: DeviceChoice = "auto"
    gpu: Annotated[str, pydantic.AfterValidator(_gpu)] = Field(
        default="0", description="which GPU jobs get: its index, its UUID, or all; with several ranks, the first one"
    )
    ranks: Annotated[int, Field(ge=1, le=64)] = Field(
        default=1,
        description="train each batch in so many equal parts at the same time, on a GPU each, or on shares of CPUs",
    )
    engine: EngineName = "auto"
    hosts: Hosts = Hosts()
    each_host: bool = Field(default=False, description="run every job on each of the hosts")
    dataset: DatasetChoice = "auto"
    precision: Precision = "fp32"
    repeats: Repeats = Field(default=1, description="`auto`: until rankings are decided; see rounds.py")
    budget: Duration = Field(default=3600.0, description="seconds that the jobs of `repeats: auto` may take together")
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    retries: Annotated[int, Field(ge=0, le=10)] = Field(
        default=0, description="run a job that failed up to N more times, where that can help"
    )
    trace: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=0,
        description="record the loss of each of the first N steps and the features of the first N batches, all weights "
        "after the first step, and all test scores; that takes time, so such a job is compared with none but its like",
    )
    learning_curve: bool = Field(
        default=False, description="score after every epoch, not only after the last; not part of the training time"
    )
    limits: Limits = Limits()

    @pydantic.field_validator("gpu", mode="before")
    @classmethod
    def _index_as_text(cls, choice: object) -> object:
        return str(choice) if type(choice) is int else choice

    @pydantic.field_validator("frameworks", "workloads")
    @classmethod
    def _once_each(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:  # their jobs would have the same ids
            raise complaints.mistake(f"{twice[0]!r} is listed more than once; to measure again use `repeats`")
        return names

    def settings_of(self, workload: str) -> Settings:
        """The settings of one workload."""
        settings: Settings = getattr(self, workload)
        return settings


if TYPE_CHECKING:
    Spec = SpecBase
else:
    _SETTINGS = {name: (each.settings, each.settings()) for name, each in WORKLOADS.items()}
    Spec = pydantic.create_model("Spec", __base__=SpecBase, **_SETTINGS)
