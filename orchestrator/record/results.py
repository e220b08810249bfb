"""The outcome of a job, as stored in results/<run>/<job>.json and read by every report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from orchestrator.host.neighbours import Neighbour
from orchestrator.plan.jobs import Job
from orchestrator.record.events import Start
from orchestrator.record.figures import Figures
from orchestrator.record.telemetry import Telemetry
from orchestrator.strict import Strict

SCHEMA_VERSION: Final = 1

Status = Literal[
    "ok",
    "failed",
    "timeout",
    "interrupted",
    "skipped",  # known beforehand to be impossible here: nothing was built, nothing ran
]
FailureKind = Literal[
    "incompatible",  # what the image carries cannot run on this machine's GPU: the job was skipped
    "environment",  # this machine lacks what the job runs in: a Python, disk space
    "pull",  # a base image could not be pulled
    "build",  # the image or virtual environment could not be made
    "no_gpu",  # the engine cannot hand out a GPU
    "data",  # a dataset is missing or corrupt
    "out_of_memory",  # main memory: the machine's, or the job's limit
    "gpu_memory",  # the GPU's
    "killed",  # by a signal
    "timeout",  # the time limit, or too long without an event
    "disk",  # the job filled its output folder
    "diverged",
    "protocol",
    "unsupported",
    "exception",
    "engine",  # the engine could not start or lost the job
    "node",  # the cluster lost the node that the job ran on, or has none left for it
    "interrupted",  # by a person; --resume runs the job again
]
# What another attempt cannot change.
FINAL: Final[frozenset[FailureKind]] = frozenset(
    {"incompatible", "environment", "pull", "build", "no_gpu", "data", "protocol", "unsupported", "interrupted"}
)


class Failure(Strict):
    """Why a job has no figures: one line of cause, what to do, and the last useful lines of its log."""

    kind: FailureKind
    message: str
    hint: str = ""
    log: tuple[str, ...] = ()


class DataFacts(Strict):
    """Which inputs a job had."""

    label: str  # "cifar10", "cifar10 (imported)", "cifar10 (synthetic)", …
    source: str
    fingerprint: str
    inputs: dict[str, str]  # file name → sha256


class NodeFacts(Strict):
    """The node of a cluster that a job ran on; `host` of the same provenance describes that machine."""

    name: str
    engine: str  # the node's own, which ran the job
    exclusive: bool = True  # whether it ran one job at a time


class Provenance(Strict):
    """Where a figure comes from: all that another person needs to judge or repeat it."""

    engine: str
    environment: dict[str, Any]  # image id, digest, base and lock, or interpreter and lock: the engine's own facts
    code: dict[str, Any]  # workloads sha256, git commit, dirty, version of this program
    host: dict[str, Any]
    data: DataFacts | None = None
    node: NodeFacts | None = None  # None of a job that ran on the machine of its orchestrator

    @property
    def local_engine(self) -> str:
        """The engine that ran the job on its machine, whether a cluster's node or the orchestrator's own."""
        return self.node.engine if self.node else self.engine


class Result(Strict):
    """One job's outcome."""

    schema_version: Literal[1] = SCHEMA_VERSION
    job: Job
    attempt: int = 1
    status: Status
    failure: Failure | None = None
    start: Start | None = None
    figures: Figures = Figures()
    provenance: Provenance
    began: str  # UTC, ISO 8601
    seconds: float  # wall clock of the whole job as the host saw it, container start included
    exit_code: int | None = None
    neighbours: tuple[Neighbour, ...] = ()  # other programs on the same processors while it ran
    telemetry: Telemetry | None = None  # None of a job that never ran


def gpu_models(job: Job, host: Mapping[str, Any]) -> list[str]:
    """The models of the GPUs that a job had, as its host tells; a file may say anything."""
    return sorted(str(gpu.get("name")) for gpu in gpus_of(host) if gpu.get("uuid") in job.gpus)


def gpus_of(host: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The facts of all GPUs that a host has, as it tells."""
    told = host.get("gpus")
    return [gpu for gpu in told if isinstance(gpu, Mapping)] if isinstance(told, list | tuple) else []


def firsts(results: Iterable[Result]) -> list[str]:
    """Of each cell the first job that ended well, on each host: the one whose course over time a report shows."""
    found: dict[tuple[str, str, str, str | None], str] = {}
    for result in results:
        if result.status == "ok":
            job, node = result.job, result.provenance.node
            host = job.host or (node.name if node else None)
            found.setdefault((job.framework, job.workload, job.device, host), job.id)
    return list(found.values())
