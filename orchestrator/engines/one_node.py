"""Makes an engine of one node, this machine, from a LocalEngine.

What every job needs on the machine where it runs is here, once for local runs and for the nodes of a cluster: its turn
on the GPUs, samples of what it uses, and the other programs that ran at the same time.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.engines.base import (
    Environment,
    Exit,
    Launch,
    LocalEngine,
    LocalExecution,
    Observations,
    Output,
)
from orchestrator.engines.hosts import Node
from orchestrator.engines.sampler import Sampler
from orchestrator.host import machine
from orchestrator.host.machine import Host
from orchestrator.host.neighbours import Turns, Watch
from orchestrator.inputs.job_inputs import Inputs
from orchestrator.plan.catalog import Image
from orchestrator.plan.jobs import Job

_log = logging.getLogger(__name__)

HERE = "this machine"


class OneNode:
    """This machine, as an engine with one node; meets base.Engine."""

    local = True

    def __init__(self, engine: LocalEngine, *, cache: Path, host: Host | None = None) -> None:
        """`host` has the CPUs and GPUs jobs may use; by default those that this process may use."""
        self.name = engine.name
        self._engine = engine
        self._cache = cache
        self._facts = engine.facts()  # asked once: a daemon that is gone later must not end the run
        self._host = host or machine.inspect()
        self._gpu_problem = engine.gpu_problem() if self._host.gpus else None
        self._environments: dict[tuple[str, str], Environment] = {}

    def facts(self) -> Mapping[str, Any]:
        return self._facts

    def nodes(self) -> Sequence[Node]:
        node = Node(
            id=HERE,
            name=HERE,
            host=self._host,
            engine=self.name,
            engine_facts=self._facts,
            gpu_problem=self._gpu_problem,
            labels={},
            local=True,
        )
        return [node]

    def take(self, node: Node, wanted: Callable[[], bool]) -> TakenMachine:  # noqa: ARG002  (it is never taken already)
        return TakenMachine(self._engine, node, self._cache, self._environments)

    def close(self) -> None:
        """Nothing to leave."""


class TakenMachine:
    """This machine, taken for a run; meets base.TakenNode."""

    spent = False

    def __init__(
        self, engine: LocalEngine, node: Node, cache: Path, environments: dict[tuple[str, str], Environment]
    ) -> None:
        """`environments` keeps what was prepared, also for the next time that the machine is taken."""
        self.node = node
        self._engine = engine
        self._cache = cache
        self._environments = environments

    def prepare(self, image: Image, variant: str) -> Environment:
        key = (image.name, variant)
        if key not in self._environments:
            self._environments[key] = self._engine.prepare(image, variant)
        return self._environments[key]

    def inputs(self, job: Job, here: Inputs) -> Inputs:  # noqa: ARG002
        return here

    @contextlib.contextmanager
    def run(self, environment: Environment, launch: Launch) -> Iterator[ObservedJob]:
        gpus = launch.job.gpus
        asked = time.monotonic()
        with Turns(self._cache).on(gpus) as others:
            waited = time.monotonic() - asked
            watch, sampler = Watch(gpus, others), Sampler(gpus, launch.cpus)
            observed = None
            try:
                with (
                    self._engine.run(environment, launch) as execution,
                    sampler.beside(execution.usage, lambda: watch.look(execution.pids)),
                ):
                    observed = ObservedJob(execution, sampler, waited)
                    yield observed
            finally:
                if observed is not None:  # the job has ended and it is still its turn: the next is not on the GPU yet
                    observed.keep(sampler.observations(watch.neighbours()))

    def close(self) -> None:
        """Nothing to give back: leaving the block of `run` ends a job."""


class ObservedJob:
    """A job of this machine whose use of it is measured; meets base.Execution."""

    def __init__(self, execution: LocalExecution, sampler: Sampler, waited: float) -> None:
        self.waited = waited
        self._execution = execution
        self._sampler = sampler
        self._observations: Observations | None = None

    def output(self) -> Iterator[Output | None]:
        for output in self._execution.output():
            # A local engine stamps chunks as they come; this loop may get to them later.
            ago = time.monotonic() - output.at if output and output.at else 0.0
            yield output and output._replace(at=self._sampler.elapsed() - ago)

    def stop(self) -> None:
        self._execution.stop()

    @property
    def exit(self) -> Exit:
        return self._execution.exit

    def observations(self) -> Observations | None:
        return self._observations

    def keep(self, observations: Observations) -> None:
        """The job has ended, and this was measured."""
        self._observations = observations
