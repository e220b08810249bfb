"""The contract between the runner and an engine.

    environment = engine.prepare(image, variant, log)       # build or find; may take minutes; raises BuildError
    with engine.run(environment, launch) as execution:      # the job is running
        for output in execution.output():                   # chunks of bytes, None now and then; ends with the job
            ...
    execution.exit                                          # how it ended

Leaving the `with` block, in whatever way, leaves nothing running. Engines move bytes; they never look into them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from orchestrator.catalog import Image
from orchestrator.host import Gpu
from orchestrator.plan import Job
from orchestrator.spec import EngineName

TICK = 0.25  # seconds an execution stays silent at most: None is yielded when nothing was printed
StreamName = Literal["stdout", "stderr"]
STOP_GRACE = 5  # seconds between SIGTERM and SIGKILL


class EngineError(Exception):
    """The engine could not start a job or lost it. The job fails; the run goes on."""

    def __init__(self, message: str, *, hint: str = "", no_gpu: bool = False) -> None:
        super().__init__(message)
        self.no_gpu = no_gpu  # it is the GPU that cannot be handed out
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
class Usage:
    """What a job has used so far, all its processes together."""

    cpu_seconds: float
    memory: int  # bytes, now
    memory_peak: int  # bytes, so far
    source: str  # who says so, in words


class Execution(Protocol):
    """A job that is running."""

    def output(self) -> Iterator[Output | None]:
        """Yield output until the job is over; None at least every TICK seconds in between."""

    def usage(self) -> Usage | None:
        """What the job has used so far; None when it has ended. Asked in a thread of the caller's."""

    def stop(self) -> None:
        """End the job: SIGTERM, then SIGKILL after STOP_GRACE seconds. `output` then ends."""

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


def job_variables(launch: Launch, *, spec: str, inputs: str, output: str, home: str) -> dict[str, str]:
    """The environment variables a workload sees in every engine, paths as they are inside."""
    return {
        "BENCH_SPEC": spec,
        "BENCH_INPUTS": inputs,
        "BENCH_OUTPUT": output,
        "HOME": home,
        "USER": "bench",
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        **launch.job.env,
    }
