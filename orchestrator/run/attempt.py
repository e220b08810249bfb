"""One attempt at one job on one node: from its environment to its result."""

from __future__ import annotations

import contextlib
import logging
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from orchestrator import signals
from orchestrator.engines.base import EngineError, Environment, Execution, Exit, Launch, Observations, TakenNode
from orchestrator.engines.hosts import Node
from orchestrator.errors import OrchestratorError, StoreError
from orchestrator.host.machine import user_name
from orchestrator.inputs.job_inputs import Inputs
from orchestrator.judge import traces
from orchestrator.plan.catalog import Catalog
from orchestrator.plan.jobs import Job
from orchestrator.record import fingerprint
from orchestrator.record.fingerprint import Checkout
from orchestrator.record.provenance import EnvironmentFacts, environment_facts, host_facts
from orchestrator.record.results import Failure, NodeFacts, Provenance, Result
from orchestrator.record.run_folder import RunFolder
from orchestrator.run.conversation import Conversation, Stop, Watchman
from orchestrator.run.environments import Environments
from orchestrator.run.halt import Halt
from orchestrator.run.listener import Lane
from orchestrator.run.measurement import telemetry_of
from orchestrator.run.outcome import Outcome, kind_of

_log = logging.getLogger(__name__)
_STOPPED = Failure(kind="interrupted", message="stopped by hand")


class InputStore(Protocol):
    """Makes the files that jobs read, on this machine."""

    def for_job(self, job: Job) -> Inputs:
        """The inputs of `job`. Raises DataError."""


class OneAtATime:
    """A store that many threads may use."""

    def __init__(self, store: InputStore) -> None:
        self._store = store
        self._lock = threading.Lock()

    def for_job(self, job: Job) -> Inputs:
        with self._lock:
            return self._store.for_job(job)


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """What the jobs of a run have in common, on any node."""

    catalog: Catalog
    engine: str  # its name, for provenance
    folder: RunFolder
    inputs: InputStore
    code: Checkout  # what jobs run, and for provenance
    cache: Path


@dataclass(frozen=True, kw_only=True)
class _Ready:
    """All that a job needs is there."""

    environment: Environment
    launch: Launch
    inputs: Inputs


class Attempt:
    """Runs one job once."""

    def __init__(self, run: RunContext, taken: TakenNode, job: Job, *, lane: Lane, halt: Halt) -> None:
        self._run = run
        self._taken = taken
        self._job = job
        self._lane = lane
        self._halt = halt
        self._outcome = Outcome(run.folder.id, job, run.folder.set_aside(job.id), provenance_of(run, taken.node, job))

    def run(self, environments: Environments, number: int, total: int) -> Result:
        """Prepare the job, which is `number` of `total`, run it, listen to it, and store its result.

        Whatever goes wrong with it becomes its result; an error is raised only where the run itself cannot go on. A
        signal interrupts the preparation. While the job runs, the loop that listens to it looks for signals.
        """
        try:
            ready: _Ready | Failure = self._prepare(environments)
        except Exception as error:  # noqa: BLE001  (one job's mischief costs that job)
            if isinstance(error, EngineError):
                self._halt.check()
            ready = _failure_of(error)
        if isinstance(ready, Failure):
            result = self._outcome.failed(ready)
            self._run.folder.write_result(result)
            return result
        with signals.deferred():
            self._lane.job_started(self._job, number, total, ready.inputs.train_samples)
            with self._run.folder.record(self._job.id) as recorder:
                conversation = Conversation(self._job, recorder, lambda event: self._lane.job_event(self._job, event))
                result = self._run_ready(ready, conversation, recorder.flush)
            self._run.folder.write_result(result)
        if result.status == "interrupted":
            raise KeyboardInterrupt
        return result

    def _run_ready(self, ready: _Ready, conversation: Conversation, flush: Callable[[], None]) -> Result:
        """Run the job to its end. Raises StoreError, when it has stored as much of the result as it could."""
        outcome, inputs = self._outcome, ready.inputs
        try:
            exit_, stopped = self._measure(ready, conversation, flush)
        except KeyboardInterrupt:
            return outcome.broken_off(_STOPPED, conversation)
        except StoreError as error:
            with contextlib.suppress(StoreError):
                self._run.folder.write_result(outcome.broken_off(_failure_of(error), conversation))
            raise
        except Exception as error:  # noqa: BLE001  (one job's mischief costs that job)
            stopped_by_hand = isinstance(error, EngineError) and self._halt.is_set()
            return outcome.broken_off(_STOPPED if stopped_by_hand else _failure_of(error), conversation)
        why = conversation.failure(
            exit_, stopped=stopped, train_samples=inputs.train_samples, test_samples=inputs.test_samples
        )
        result = outcome.ended(conversation, exit_, why)
        features = traces.timed_features(self._run.folder, result)
        return result.model_copy(update={"figures": result.figures.model_copy(update={"timed_features": features})})

    def _prepare(self, environments: Environments) -> _Ready:
        """Environment and inputs of the job. Raises EngineError, or another error that says why it cannot run."""
        environment = environments.of(self._job)
        if isinstance(environment, OrchestratorError):
            raise environment
        self._add_provenance(environment=environment_facts(environment.facts))
        self._lane.preparing(f"data and weights for {self._job.workload}")
        inputs = self._taken.inputs(self._job, self._run.inputs.for_job(self._job))
        self._add_provenance(data=inputs.facts)
        return _Ready(environment=environment, launch=self._launch(inputs), inputs=inputs)

    def _launch(self, inputs: Inputs) -> Launch:
        host, folder, job = self._taken.node.host, self._run.folder, self._job
        return Launch(
            job=job,
            run=folder.id,
            workloads=self._run.code.freeze(job.module, self._run.cache),
            inputs=inputs.files,
            spec=folder.write_job(job),
            cpus=host.cpus_for(job.cpus),
            gpus=tuple(gpu for uuid in job.gpus for gpu in host.gpus if gpu.uuid == uuid),
            cpu_quota=host.cpu_quota,
            memory_limit=host.memory_limit,
        )

    def _measure(
        self, ready: _Ready, conversation: Conversation, flush: Callable[[], None]
    ) -> tuple[Exit, Stop | None]:
        """Run the job until it has ended; returns how it ended, and why it was stopped if it was. Raises EngineError.

        Whatever happens, what was measured beside it is kept.
        """
        self._outcome.clock_starts()
        execution: Execution | None = None
        try:
            with (
                contextlib.closing(conversation),
                self._taken.run(ready.environment, ready.launch) as execution,
            ):
                self._outcome.waited(execution.waited)
                stopped = self._listen(execution, conversation, flush)
                return execution.exit, stopped
        finally:
            if execution is not None:
                self._keep(execution.observations(), conversation, len(ready.launch.cpus))

    def _listen(self, execution: Execution, conversation: Conversation, flush: Callable[[], None]) -> Stop | None:
        """Take all output of the job; stop it when it breaks a limit or the protocol. Returns which limit."""
        why: Stop | None = None
        stopping = False
        limits = Watchman(self._job)
        try:
            for output in execution.output():
                self._halt.check()
                if output is not None:
                    conversation.take(output)
                if limits.due():
                    flush()
                    why = why or limits.reason(conversation.events)
                if not stopping and (why or conversation.violation):
                    stopping = True
                    execution.stop()
        except KeyboardInterrupt:
            _log.warning("stopping %s; press Ctrl-C again to kill it", self._job.id)
            with contextlib.suppress(EngineError):
                execution.stop()
                for output in execution.output():
                    if signals.insisted():
                        break
                    if output is not None:
                        conversation.take(output)
            raise
        return why

    def _keep(self, observations: Observations | None, conversation: Conversation, cpus: int) -> None:
        """Store the samples taken beside the job; there are none when its node was lost."""
        series: list[Mapping[str, Any]] = []
        if observations is not None:
            conversation.check_clock(observations.samples, cpus)
            telemetry, series = telemetry_of(observations, conversation.timed)
            self._outcome.observed(observations, telemetry)
        self._run.folder.write_telemetry(self._job.id, series)

    def _add_provenance(self, **facts: object) -> None:
        self._outcome.provenance = self._outcome.provenance.model_copy(update=facts)


def _failure_of(error: Exception) -> Failure:
    """An error as the failure of a job. The log of the run has the details."""
    _log.debug("the job cannot go on", exc_info=error)
    if isinstance(error, EngineError):
        return Failure(kind=error.kind, message=error.message, hint=error.hint)
    if isinstance(error, OrchestratorError):
        return Failure(kind=kind_of(error), message=error.message, hint=error.hint)
    if isinstance(error, OSError):
        message = f"{error.filename or 'a file'} cannot be used: {error.strerror or error}"
        return Failure(kind="disk", message=message, hint="see the space and the permissions there; then --resume")
    return Failure(
        kind="engine",
        message=f"unexpected {traceback.format_exception_only(error)[-1].strip()}",
        hint="this is a fault of this program: please report it with orchestrator.log, which has the details",
    )


def provenance_of(run: RunContext, node: Node, job: Job) -> Provenance:
    """Where the result of a job comes from, as far as it is known before anything is prepared."""
    return Provenance(
        engine=run.engine,
        environment=EnvironmentFacts(),
        code=fingerprint.of_module(run.code, job.module),
        host=host_facts(node.host, node.engine_facts, node.host.cpus_for(job.cpus)),
        node=None if node.local else NodeFacts(name=node.name, engine=node.engine, exclusive=node.share is None),
        by=user_name(),
    )
