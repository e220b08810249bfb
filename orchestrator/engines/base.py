"""The contract of engines: what a run asks of the place where its jobs execute.

A run reaches every engine in the same way, whether it has one node, which is this machine, or many:

    engine = registry.connect(name, setup)                  # raises HostError where the engine cannot be used
    for node in engine.nodes():                             # machines, with their CPUs and GPUs
        taken = engine.take(node, wanted)                   # the node belongs to this run alone from now on
        environment = taken.prepare(image, variant)         # build or find; may take minutes; raises BuildError
        inputs = taken.inputs(job, inputs)                  # the files that a job reads, as paths of the node
        with taken.run(environment, launch) as execution:   # the job is running
            for output in execution.output():               # chunks of bytes, None now and then; ends with the job
                ...
        execution.exit                                      # how the job ended
        execution.observations()                            # what was measured beside it
        taken.close()
    engine.close()

To add an engine that runs jobs on this machine, write a `LocalEngine` (prepare a job's environment, run a job) and
make an `Engine` of it with `one_node.OneNode`, which adds telemetry, neighbours and turns on GPUs. To add one that
runs them elsewhere, write `Engine`, `TakenNode` and `Execution`. Then register it: see registration.py.

Three rules hold for all of them. Leaving a `with` block of `run`, in whatever way, leaves nothing running. Engines
move bytes and never interpret them. Messages for the user go to the standard `logging`: a warning where the run
goes on all the same, and every line of a build as info.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from orchestrator.engines.hosts import Node
from orchestrator.host.machine import Gpu
from orchestrator.host.neighbours import Neighbour
from orchestrator.host.samples import EnergyMeter, ResourceUsage, Sample
from orchestrator.inputs.job_inputs import Inputs
from orchestrator.plan.catalog import Image
from orchestrator.plan.jobs import Job
from orchestrator.record.telemetry import Around

TICK = 0.25  # seconds an execution stays silent at most: None is yielded when nothing was printed
STOP_GRACE = 5  # seconds between SIGTERM and SIGKILL
StreamName = Literal["stdout", "stderr"]
FailedPart = Literal["engine", "no_gpu", "node"]  # the engine itself, its way to give a job a GPU, or the whole node


class EngineError(Exception):
    """The engine could not start a job or lost it. The job fails; the run goes on."""

    def __init__(self, message: str, *, hint: str = "", kind: FailedPart = "engine") -> None:
        super().__init__(message)
        self.kind: FailedPart = kind
        self.message = message
        self.hint = hint


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A prepared image or virtual environment. Only the engine that made it understands `handle`."""

    handle: str
    facts: Mapping[str, Any]  # provenance: what exactly this environment is


@dataclass(frozen=True, kw_only=True)
class Launch:
    """All an engine needs to run one job. An engine on another machine replaces the paths by those of that machine."""

    job: Job
    run: str  # id of the run, for labels
    workloads: Path  # a folder called workloads with the code that the job uses
    inputs: Mapping[str, Path]  # name below BENCH_INPUTS → file
    spec: Path  # the job as JSON
    cpus: tuple[int, ...]  # the CPUs the job may use
    gpus: tuple[Gpu, ...] = ()  # the GPUs the job gets
    # What control groups allow this program on the job's machine. Jobs get no more, also where a daemon starts them.
    cpu_quota: float | None = None  # in CPUs
    memory_limit: int | None = None  # bytes

    @property
    def memory(self) -> int | None:
        """Bytes that the job may use: the smaller of its own limit and the machine's; None without either."""
        limits = [limit for limit in (self.job.memory, self.memory_limit) if limit is not None]
        return min(limits, default=None)


class Output(NamedTuple):
    """Bytes as they arrived; chunks end anywhere."""

    stream: StreamName
    data: bytes
    # When it came. A local engine fills in time.monotonic(), or 0 if it does not know. OneNode makes of it the seconds
    # since the job began, by the clock of the machine that it runs on.
    at: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Exit:
    """How a job's process ended. `code` is None when a signal ended it."""

    code: int | None
    signal: int | None = None
    out_of_memory: bool = False
    memory_limit: int | None = None  # bytes: the limit that it exceeded when it ran out of memory, where there was one


@dataclass(frozen=True, kw_only=True)
class Observations:
    """What was measured beside a job, on the machine where it ran. Times are seconds since the job began."""

    samples: Sequence[Sample]
    taken: int  # samples taken; of a long job only some are kept
    gpus: Sequence[tuple[str, EnergyMeter]]  # UUIDs of the GPUs in each sample, and how their energy was measured
    around: Around
    neighbours: tuple[Neighbour, ...]  # other programs on the same processors


class LocalExecution(Protocol):
    """A job that is running on this machine."""

    def output(self) -> Iterator[Output | None]:
        """Yield output until the job is over; None at least every TICK seconds in between."""

    def usage(self) -> ResourceUsage | None:
        """What the job has used so far; None when it has ended. Called in another thread than `output`."""

    def pids(self) -> AbstractSet[int] | None:
        """The ids of the job's processes on this machine; None when they cannot be known. Called as `usage` is."""

    def stop(self) -> None:
        """End the job: SIGTERM, then SIGKILL after STOP_GRACE seconds. `output` then ends."""

    @property
    def exit(self) -> Exit:
        """How the job ended; known once `output` has ended."""


class LocalEngine(Protocol):
    """Runs jobs on the machine that this program is on, one after the other."""

    name: str

    def gpu_problem(self) -> str | None:
        """Why this engine cannot give a job a GPU that the machine has; None when it can."""

    def facts(self) -> Mapping[str, Any]:
        """Provenance of the engine itself, such as its version."""

    def prepare(self, image: Image, variant: str) -> Environment:
        """Build or find the environment of `image`. Raises BuildError or HostError."""

    def run(self, environment: Environment, launch: Launch) -> AbstractContextManager[LocalExecution]:
        """Start a job. Raises EngineError."""


class Execution(Protocol):
    """A job that is running on a node."""

    waited: float  # seconds that it waited for its turn on the node's GPUs before it began

    def output(self) -> Iterator[Output | None]:
        """Yield output until the job is over; None at least every TICK seconds in between."""

    def stop(self) -> None:
        """End the job: SIGTERM, then SIGKILL after STOP_GRACE seconds. `output` then ends."""

    @property
    def exit(self) -> Exit:
        """How the job ended; known once `output` has ended."""

    def observations(self) -> Observations | None:
        """What was measured; known once the block of `run` was left. None when it was lost with the node."""


class TakenNode(Protocol):
    """A node that belongs to one run. Its jobs run one after the other."""

    node: Node

    @property
    def spent(self) -> bool:
        """Whether it can run no other job, because one would not end: the node has to be taken again."""

    def prepare(self, image: Image, variant: str) -> Environment:
        """Build or find the environment of `image` on the node. Raises BuildError, HostError or EngineError."""

    def inputs(self, job: Job, here: Inputs) -> Inputs:
        """The inputs of `job` on the node, which must be those that this machine has. Raises DataError, EngineError."""

    def run(self, environment: Environment, launch: Launch) -> AbstractContextManager[Execution]:
        """Start a job once it has its turn on the GPUs. Raises EngineError."""

    def close(self) -> None:
        """Give the node back, and end what still runs there. May be called from another thread, and twice."""


class Engine(Protocol):
    """Nodes that run jobs."""

    name: str
    local: bool  # there is one node, which is this machine

    def facts(self) -> Mapping[str, Any]:
        """Provenance of the engine itself, such as its version."""

    def nodes(self) -> Sequence[Node]:
        """The nodes that can run jobs now. Later calls include those that have joined. Raises HostError without any."""

    def take(self, node: Node, wanted: Callable[[], bool]) -> TakenNode | None:
        """Take a node for this run alone. Waits while another run has it; None once `wanted` returns False.

        Raises EngineError when the node is gone.
        """

    def close(self) -> None:
        """Leave the engine. A cluster that was started for this run ends."""


def job_variables(launch: Launch, *, spec: str, inputs: str, home: str) -> dict[str, str]:
    """The environment variables a workload sees in every engine, with paths as the workload sees them."""
    # With 0, NVIDIA's libraries use no TF32 whatever a framework asks of them. NVIDIA defines no other value; where
    # TF32 is wanted, the framework's own switch turns it on.
    exact = {"NVIDIA_TF32_OVERRIDE": "0"} if (launch.job.device, launch.job.precision) == ("gpu", "fp32") else {}
    return {
        "BENCH_SPEC": spec,
        "BENCH_INPUTS": inputs,
        "HOME": home,
        "USER": "bench",
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        **exact,
        **launch.job.env,
    }
