"""The contract between the runner and an engine.

    environment = engine.prepare(image, variant, log)       # build or find; may take minutes; raises BuildError
    with engine.run(environment, launch) as execution:      # the job is running
        for output in execution.output():                   # chunks of bytes, None now and then; ends with the job
            ...
    execution.exit                                          # how it ended

Leaving the `with` block, in whatever way, leaves nothing running. Engines move bytes; they never look into them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from orchestrator.engines.nodes import Node
from orchestrator.host.machine import Gpu
from orchestrator.host.neighbours import Neighbour
from orchestrator.host.samples import ResourceUsage
from orchestrator.inputs.job_inputs import Inputs
from orchestrator.plan.catalog import Image
from orchestrator.plan.jobs import Job
from orchestrator.plan.spec import EngineName
from orchestrator.record.results import DataFacts
from orchestrator.record.telemetry import Telemetry

TICK = 0.25  # seconds an execution stays silent at most: None is yielded when nothing was printed
StreamName = Literal["stdout", "stderr"]
STOP_GRACE = 5  # seconds between SIGTERM and SIGKILL
FailedPart = Literal[
    "engine", "no_gpu", "node"
]  # what failed: the engine, its handing out of a GPU, the node it runs jobs on


class EngineError(Exception):
    """The engine could not start a job or lost it. The job fails; the run goes on."""

    def __init__(self, message: str, *, hint: str = "", kind: FailedPart = "engine") -> None:
        super().__init__(message)
        self.kind: FailedPart = kind
        self.message = message
        self.hint = hint


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A prepared image or virtual environment. `handle` means something to its engine only."""

    handle: str
    facts: Mapping[str, Any]  # provenance: what exactly this environment is


@dataclass(frozen=True, kw_only=True)
class Launch:
    """All an engine needs to run one job."""

    job: Job
    run: str  # id of the run, for labels
    workloads: Path  # the folder workloads/
    inputs: Mapping[str, Path]  # name below BENCH_INPUTS → file on this host
    spec: Path  # the job as JSON
    output: Path  # an empty folder that becomes BENCH_OUTPUT
    cpus: tuple[int, ...]  # the CPUs the job may use
    gpus: tuple[Gpu, ...] = ()  # the GPUs the job gets


class Output(NamedTuple):
    """Bytes as they arrived; chunks end anywhere."""

    stream: StreamName
    data: bytes


@dataclass(frozen=True, kw_only=True)
class Exit:
    """How a job's process ended. `code` is None when a signal ended it."""

    code: int | None
    signal: int | None = None
    out_of_memory: bool = False


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a node tells of a job that runs there; figures are known once the job has ended."""

    output_is_full: bool = False
    neighbours: tuple[Neighbour, ...] = ()
    telemetry: Telemetry | None = None
    series: Sequence[Mapping[str, Any]] = ()  # the samples behind the telemetry


class Execution(Protocol):
    """A job that is running."""

    def output(self) -> Iterator[Output | None]:
        """Yield output until the job is over; None at least every TICK seconds in between."""

    def usage(self) -> ResourceUsage | None:
        """What the job has used so far; None when it has ended. Asked in a thread of the caller's."""

    def stop(self) -> None:
        """End the job: SIGTERM, then SIGKILL after STOP_GRACE seconds. `output` then ends."""

    def seen(self) -> Seen | None:
        """What the node tells that the job runs on; None on this machine, where the caller looks for himself."""

    @property
    def exit(self) -> Exit:
        """Known once `output` has ended."""


class Engine(Protocol):
    """Where jobs execute."""

    name: EngineName

    def gpu_problem(self) -> str | None:
        """Why this engine cannot give a job a GPU that the machine has; None when it can."""

    def facts(self) -> Mapping[str, Any]:
        """Provenance of the engine itself, such as its version."""

    def prepare(self, image: Image, variant: str, log: Callable[[str], None]) -> Environment:
        """Build or find the environment of `image`. Raises BuildError or HostError."""

    def run(self, environment: Environment, launch: Launch) -> AbstractContextManager[Execution]:
        """Start a job. Raises EngineError."""


class NodeEngine(Engine, Protocol):
    """An engine whose jobs run on one node of a cluster, for one run. Paths in what it prepares are the node's."""

    node: Node

    @property
    def spent(self) -> bool:
        """Whether it can run no other job, because one would not end: the node has to be taken anew."""

    def inputs(self, job: Job, expected: DataFacts) -> Inputs:
        """Make the inputs of `job` on the node. Raises DataError when they are not those expected."""

    def close(self) -> None:
        """Give the node back."""


@runtime_checkable
class Cluster(Protocol):
    """Nodes that run jobs side by side."""

    name: EngineName

    def facts(self) -> Mapping[str, Any]:
        """Provenance of the cluster itself, such as its version."""

    def nodes(self) -> Sequence[Node]:
        """The nodes that can run jobs now, those that joined meanwhile included. Raises HostError without a cluster."""

    def take(self, node: Node, notify: Callable[[str], None], still_wanted: Callable[[], bool]) -> NodeEngine | None:
        """Take a node for a run, alone. Waits while others use it, and it is still wanted; None when it no longer is.

        Raises EngineError when the node is gone.
        """

    def close(self) -> None:
        """Leave the cluster; one that was started for this run ends."""


def job_variables(launch: Launch, *, spec: str, inputs: str, output: str, home: str) -> dict[str, str]:
    """The environment variables a workload sees in every engine, paths as they are inside."""
    # With it NVIDIA's libraries use no TF32, whatever they are told. Anything but 0 has no meaning yet: where TF32 is
    # wanted, a framework's own switch decides.
    exact = {"NVIDIA_TF32_OVERRIDE": "0"} if (launch.job.device, launch.job.precision) == ("gpu", "fp32") else {}
    return {
        "BENCH_SPEC": spec,
        "BENCH_INPUTS": inputs,
        "BENCH_OUTPUT": output,
        "HOME": home,
        "USER": "bench",
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        **exact,
        **launch.job.env,
    }
