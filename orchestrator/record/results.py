"""The result of a job, as stored in results/<run>/<job>.json and read by every report."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from orchestrator.errors import StoreError
from orchestrator.host.neighbours import Neighbour
from orchestrator.plan.jobs import Job
from orchestrator.record.events import Start
from orchestrator.record.figures import Figures
from orchestrator.record.provenance import CodeFacts, EnvironmentFacts, HostFacts
from orchestrator.record.telemetry import Telemetry
from orchestrator.strict import Strict

SCHEMA_VERSION: Final = 1
MAX_TEXT, MAX_LINES = 8_000, 40  # characters and lines of a text about a failure

Status = Literal[
    "ok",
    "failed",
    "timeout",
    "interrupted",
    "skipped",  # known to be impossible on this machine before anything was built
]
FailureKind = Literal[
    "incompatible",  # the image cannot run on this machine's GPU: the job was skipped
    "environment",  # this machine lacks a Python or disk space
    "pull",  # a base image could not be pulled
    "build",  # the image or virtual environment could not be built
    "no_gpu",  # the engine cannot give the job a GPU
    "data",  # a dataset is missing or corrupt
    "out_of_memory",  # main memory: the machine's, or the job's limit
    "gpu_memory",  # the GPU's
    "killed",  # by a signal that something outside the job sent
    "timeout",  # the time limit, or too long without an event
    "disk",  # a file of the run or the cache could not be written
    "diverged",
    "protocol",
    "unsupported",
    "exception",
    "engine",  # the engine could not start or lost the job
    "node",  # the cluster lost the job's node, or has no node for the job
    "interrupted",  # by the user; --resume runs the job again
]
# What the machine broke, not the job: --resume runs such a job again.
OF_THE_MACHINE: Final[frozenset[FailureKind]] = frozenset(
    {"environment", "pull", "build", "no_gpu", "data", "disk", "engine", "node", "interrupted", "killed"}
)
# Failures that another attempt in the same run cannot change.
FINAL: Final[frozenset[FailureKind]] = frozenset(
    {"incompatible", "environment", "pull", "build", "no_gpu", "data", "disk", "protocol", "unsupported", "interrupted"}
)


def _bounded(text: object) -> object:
    """A text that fits on a screen, whatever a job or a stored file says."""
    if not isinstance(text, str):
        return text
    lines = text[:MAX_TEXT].split("\n")
    return "\n".join(lines[:MAX_LINES]) + ("…" if len(text) > MAX_TEXT or len(lines) > MAX_LINES else "")


BoundedText = Annotated[str, BeforeValidator(_bounded)]


class Failure(Strict):
    """Why a job has no figures: the cause in one line, what to do, and the last useful lines of its log."""

    kind: FailureKind
    message: BoundedText
    hint: BoundedText = ""
    log: Annotated[tuple[BoundedText, ...], Field(max_length=100)] = ()


class DataFacts(Strict):
    """The inputs of a job."""

    label: str  # "cifar10", "cifar10 (imported)", "cifar10 (synthetic)", …
    source: str
    fingerprint: str
    inputs: dict[str, str]  # file name → sha256


class NodeFacts(Strict):
    """The node of a cluster that a job ran on; `host` of the same provenance describes that machine."""

    name: str
    engine: str  # that ran the job on the node
    exclusive: bool = True  # whether the node ran one job at a time


class Provenance(Strict):
    """Where a figure comes from: everything needed to judge or repeat it."""

    engine: str
    environment: EnvironmentFacts
    code: CodeFacts
    host: HostFacts
    data: DataFacts | None = None
    node: NodeFacts | None = None  # None for a job that ran on the orchestrator's own machine
    by: str = ""  # the user who ran the orchestrator, by the name at the login; says who, and proves nothing

    @property
    def local_engine(self) -> str:
        """The engine that ran the job on its machine: on a cluster, the engine of the node."""
        return self.node.engine if self.node else self.engine


class Result(Strict):
    """The result of one job."""

    schema_version: Literal[1] = SCHEMA_VERSION
    run: str = ""  # id of the run that it belongs to; empty in earlier versions
    job: Job
    attempt: int = 1
    status: Status
    failure: Failure | None = None
    start: Start | None = None
    figures: Figures = Figures()
    provenance: Provenance
    began: str  # UTC, ISO 8601
    seconds: float  # wall time of the whole job on the host, including the start of the container
    exit_code: int | None = None
    neighbours: tuple[Neighbour, ...] = ()  # other programs that used the same processors while the job ran
    telemetry: Telemetry | None = None  # None for a job that never ran


def split_damaged(found: Iterable[Result | StoreError]) -> tuple[list[Result], list[StoreError]]:
    """The results, and the errors of those that cannot be read."""
    results: list[Result] = []
    damaged: list[StoreError] = []
    for each in found:
        if isinstance(each, StoreError):
            damaged.append(each)
        else:
            results.append(each)
    return results, damaged


def distinct(groups: Iterable[Iterable[Result]]) -> list[list[Result]]:
    """The results of each group without those that an earlier one has, or the group itself: copies are no repeats."""
    seen: set[bytes] = set()
    found: list[list[Result]] = []
    for group in groups:
        found.append([])
        for result in group:
            digest = hashlib.sha256(result.model_dump_json().encode()).digest()
            if digest not in seen:
                seen.add(digest)
                found[-1].append(result)
    return found


def firsts(results: Iterable[Result]) -> list[str]:
    """The ids of the jobs whose course over time a report shows: for each cell and host, the first that succeeded."""
    found: dict[tuple[str, str, str, str | None], str] = {}
    for result in results:
        if result.status == "ok":
            job, node = result.job, result.provenance.node
            host = job.host or (node.name if node else None)
            found.setdefault((job.framework, job.workload, job.device, host), job.id)
    return list(found.values())
