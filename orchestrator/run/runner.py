"""Jobs → results, one at a time. A job that fails is a result like any other, and the run goes on.

On a cluster every node has a Runner of its own, in a thread of its own: see crew.py.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Protocol, runtime_checkable

from orchestrator.engines.base import Engine, EngineError, Environment, Execution, Exit, Launch, Seen
from orchestrator.engines.sampler import Sampler
from orchestrator.errors import BuildError, DataError, HostError, MissingWheelError, OrchestratorError, PullError
from orchestrator.host.machine import Host
from orchestrator.host.neighbours import Neighbour, Turns, Watch
from orchestrator.inputs import job_inputs
from orchestrator.plan.catalog import Catalog, Image
from orchestrator.plan.jobs import Job
from orchestrator.record import fingerprint
from orchestrator.record.events import Event, Start
from orchestrator.record.figures import Figures
from orchestrator.record.fingerprint import Checkout
from orchestrator.record.provenance import EnvironmentFacts, environment_facts, host_facts
from orchestrator.record.results import FINAL, Failure, FailureKind, NodeFacts, Provenance, Result, Status
from orchestrator.record.run_folder import RunFolder
from orchestrator.record.telemetry import Telemetry
from orchestrator.run.conversation import Conversation, Stop

LOOK_SECONDS = 1.0  # between two looks at a running job, each of which also flushes its files


class Listener(Protocol):
    """Whoever wants to know how a run is going. Calls are short and never raise."""

    def preparing(self, what: str) -> None:
        """An image is built, an environment made, a dataset prepared: it may take minutes."""

    def log(self, line: str) -> None:
        """A line of output of what is being prepared."""

    def notice(self, text: str) -> None:
        """Something a person should know, though the run goes on."""

    def job_started(self, job: Job, number: int, total: int, epoch_samples: int | None) -> None:
        """Job `number` of `total` (from 1) begins; a training epoch has `epoch_samples`."""

    def job_event(self, job: Job, event: Event) -> None:
        """A job said something."""

    def job_finished(self, result: Result) -> None:
        """A job has ended and its result is on disk."""


class Lane(Listener, Protocol):
    """Who hears what happens on one of several nodes."""

    def close(self) -> None:
        """Nothing happens there any more."""


@runtime_checkable
class Lanes(Protocol):
    """A listener that can tell apart what happens side by side."""

    def lane(self, node: str) -> Lane:
        """A listener for one node."""


class InputsFor(Protocol):
    """Whoever makes the files that a job reads."""

    def for_job(self, job: Job) -> job_inputs.Inputs:
        """The inputs of `job`. Raises DataError."""


class Halt:
    """How threads are told that a person wants to stop: a signal reaches the main thread only."""

    def __init__(self) -> None:
        self.asked = threading.Event()  # Ctrl-C: end the running jobs and keep what is known
        self.insisted = threading.Event()  # a second one: do not wait for them

    def check(self) -> None:
        """Raise KeyboardInterrupt once it was asked for."""
        if self.asked.is_set():
            raise KeyboardInterrupt


class Runner:
    """Runs jobs with one engine and stores what comes of them in one run folder."""

    def __init__(  # noqa: PLR0913  (the last two are a cluster's)
        self,
        *,
        catalog: Catalog,
        engine: Engine,
        folder: RunFolder,
        inputs: InputsFor,
        code: Checkout,
        host: Host,
        listener: Listener,
        turns: Turns | None,
        node: NodeFacts | None = None,
        halt: Halt | None = None,
    ) -> None:
        """`code` is this checkout's, for provenance; `host` says which CPUs and GPUs jobs may use.

        `node` is the cluster's node that `host` is, where it is not this machine. Then it looks itself who else uses
        its processors, and minds the turns on its GPUs; here `turns` is for that.
        """
        self._catalog = catalog
        self._engine = engine
        self._engine_facts = engine.facts()  # once: a daemon that is gone later must not end the run
        self._folder = folder
        self._inputs = inputs
        self._code = code
        self._host = host
        self._listener = listener
        self._turns = turns
        self._node = node
        self._halt = halt or Halt()
        self._gpus = {gpu.uuid: gpu for gpu in host.gpus}
        self._environments: dict[tuple[str, str], Environment | OrchestratorError] = {}

    def run(self, jobs: Sequence[Job], skip: Mapping[str, Failure] = MappingProxyType({})) -> list[Result]:
        """Run `jobs` in order. Every environment is made before the first job, so that no build disturbs a clock.

        Jobs whose id is in `skip` cannot run here: that is their result, and nothing is built for them.
        """
        for job in jobs:
            if job.id not in skip:
                self._environment(job)
        results = []
        for number, job in enumerate(jobs, start=1):
            if job.id in skip:
                result = unrun(self._folder, job, skip[job.id], self._provenance(job))
            else:
                result, _ = self.run_one(job, number, len(jobs), job.retries)
            self._listener.job_finished(result)
            results.append(result)
        return results

    def run_one(self, job: Job, number: int, total: int, more: int) -> tuple[Result, int]:
        """Run job `number` of `total`, and up to `more` times again where that can help.

        Returns the result of the last attempt and how many were left. After the loss of its node there is none here.
        """
        while True:
            result = self._attempt(job, number, total)
            self._folder.write_result(result)
            failure = result.failure
            if failure is None or failure.kind in FINAL or not more:
                return result, more
            if failure.kind == "node":
                self._folder.set_aside(job.id)  # the attempt to come is not forgotten if the run ends before it
                return result, more
            self._listener.notice(f"{job.id} failed: {failure.message}; trying again ({more} left)")
            more -= 1

    def _environment(self, job: Job) -> Environment | OrchestratorError:
        """The job's environment, or why there is none. Asked once per image. Raises EngineError."""
        _, image = self._catalog.frameworks[job.framework]
        variant = "cuda" if job.device == "gpu" else "cpu"
        key = (image.name, variant)
        if key not in self._environments:
            try:
                self._environments[key] = self._prepare(image, variant)
            except (BuildError, HostError) as error:
                self._environments[key] = error
        return self._environments[key]

    def _prepare(self, image: Image, variant: str) -> Environment:
        self._listener.preparing(f"environment {image.name} ({variant})")
        try:
            return self._engine.prepare(image, variant, self._listener.log)
        except MissingWheelError as error:
            if variant != "cpu" or "cuda" not in image.locks:
                raise
            # Some frameworks publish their CPU build on an index of their own; the CUDA build computes the same
            # on a CPU, it is only larger. The result says which one it was.
            reason = error.message.splitlines()[0]
            self._listener.notice(f"{reason}; using its cuda variant. To avoid the large download: {error.hint}")
            return self._prepare(image, "cuda")

    def _attempt(self, job: Job, number: int, total: int) -> Result:
        """One job from start to result."""
        report = _Report(job, self._folder.set_aside(job.id), self._provenance(job))
        try:
            return self._tried(report, job, number, total)
        except EngineError as error:  # while something was prepared
            self._halt.check()
            return report.failed(error.kind, error.message, error.hint)

    def _tried(self, report: _Report, job: Job, number: int, total: int) -> Result:
        environment = self._environment(job)
        if isinstance(environment, OrchestratorError):
            return report.failed(_kind(environment), environment.message, environment.hint)
        report.provenance = report.provenance.model_copy(update={"environment": environment_facts(environment.facts)})
        try:
            self._listener.preparing(f"data and weights for {job.workload}")
            prepared = self._inputs.for_job(job)
        except DataError as error:
            return report.failed("data", error.message, error.hint)
        report.provenance = report.provenance.model_copy(update={"data": prepared.facts})
        gone = sorted(set(job.gpus) - set(self._gpus))
        if gone:
            return report.failed("no_gpu", f"this machine has no GPU {', '.join(gone)}", "choose another with --gpu")
        launch = self._launch(job, prepared)
        self._listener.job_started(job, number, total, prepared.train_samples)
        if self._turns is None:
            return self._measure(report, environment, launch, prepared)
        with self._turns.on(job.gpus) as others:
            watch = Watch(job.gpus, others)
            result = self._measure(report, environment, launch, prepared)
            found = watch.neighbours()  # while it is still this job's turn: later, the next job is on the GPU
        return result.model_copy(update={"neighbours": found})

    def _measure(
        self, report: _Report, environment: Environment, launch: Launch, prepared: job_inputs.Inputs
    ) -> Result:
        """Run the job and listen to it."""
        job = launch.job
        report.clock_starts()
        sampler = Sampler(job.gpus)

        def hear(event: Event) -> None:
            sampler.hear(event)
            self._listener.job_event(job, event)

        with self._folder.record(job.id) as recorder:
            conversation = Conversation(job, recorder, hear)
            sampling = functools.partial(self._sampling, report, sampler, job.id)
            try:
                exit_, stopped = self._converse(environment, launch, conversation, recorder.flush, sampling)
            except (EngineError, KeyboardInterrupt) as error:
                if isinstance(error, EngineError) and not self._halt.asked.is_set():
                    return report.failed(error.kind, error.message, error.hint, conversation)
                self._folder.write_result(report.failed("interrupted", "stopped by hand", "", conversation))
                raise KeyboardInterrupt from error
            finally:
                missing = self._folder.keep_artifacts(job.id, conversation.collector.artifacts)
        failure = conversation.failure(
            exit_, stopped=stopped, train_samples=prepared.train_samples, test_samples=prepared.test_samples
        )
        if failure is None and missing:
            failure = conversation.told("protocol", f"there is no file for its artifact {missing[0]!r}")
        return report.ended(conversation, exit_, failure)

    @contextlib.contextmanager
    def _sampling(self, report: _Report, sampler: Sampler, job: str, execution: Execution) -> Iterator[None]:
        """Sample a job while the block runs, however it ends, and keep what was found, here or by its node."""
        if self._node is None:
            try:
                with sampler.beside(execution.usage):
                    yield
            finally:
                report.telemetry, series = sampler.found()
                self._folder.write_telemetry(job, series)
            return
        try:
            yield
        finally:
            seen = execution.seen() or Seen()
            report.telemetry, report.neighbours = seen.telemetry, seen.neighbours
            self._folder.write_telemetry(job, seen.series)

    def _converse(
        self,
        environment: Environment,
        launch: Launch,
        conversation: Conversation,
        flush: Callable[[], None],
        sampling: Callable[[Execution], AbstractContextManager[None]],
    ) -> tuple[Exit, Stop | None]:
        """Start the job, listen until it has ended and close the conversation.

        Returns how the job ended and why it was stopped, if it was.
        """
        job = launch.job
        why: Stop | None = None
        stopping = False
        with (
            contextlib.closing(conversation),
            self._engine.run(environment, launch) as execution,
            sampling(execution),
        ):
            look = _Lookout(job)
            try:
                for output in execution.output():
                    self._halt.check()
                    if output is not None:
                        conversation.take(output)
                    if look.due():
                        flush()
                        seen = execution.seen()
                        full = seen.output_is_full if seen else self._folder.output_is_full(job.id)
                        why = why or look.reason(conversation.events, output_is_full=full)
                    if not stopping and (why or conversation.violation):
                        stopping = True
                        execution.stop()
            except KeyboardInterrupt:
                self._listener.notice(f"stopping {job.id}; press Ctrl-C again to kill it")
                with contextlib.suppress(EngineError):
                    execution.stop()
                    for output in execution.output():
                        if self._halt.insisted.is_set():
                            break
                        if output is not None:
                            conversation.take(output)
                raise
            return execution.exit, why

    def _launch(self, job: Job, prepared: job_inputs.Inputs) -> Launch:
        return Launch(
            job=job,
            run=self._folder.id,
            workloads=self._catalog.root / "workloads",
            inputs=prepared.files,
            spec=self._folder.write_job(job),
            output=self._folder.output(job.id),
            cpus=self._host.cpus[: job.cpus],
            gpus=tuple(self._gpus[uuid] for uuid in job.gpus),
        )

    def _provenance(self, job: Job) -> Provenance:
        return Provenance(
            engine=self._engine.name,
            environment=EnvironmentFacts(),
            code=fingerprint.of_module(self._code, job.module),
            host=host_facts(self._host, self._engine_facts, self._host.cpus[: job.cpus]),
            node=self._node,
        )


def unrun(folder: RunFolder, job: Job, why: Failure, provenance: Provenance) -> Result:
    """Store that `job` was not run, and why; returns its result."""
    result = _Report(job, folder.set_aside(job.id), provenance).failed(why.kind, why.message, why.hint)
    folder.write_result(result)
    return result


class _Lookout:
    """Looks now and then whether a running job has to be stopped."""

    def __init__(self, job: Job) -> None:
        now = time.monotonic()
        self._job = job
        self._deadline = now + job.timeout
        self._next = now
        self._heard = now
        self._events = 0

    def due(self) -> bool:
        """Whether it is time for another look. Cheap: asked for every chunk of output."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = min(now + LOOK_SECONDS, max(now, self._deadline))
        return True

    def reason(self, events: int, *, output_is_full: bool) -> Stop | None:
        """Why the job has to be stopped; `events` is how many it has sent so far."""
        now = time.monotonic()
        if events > self._events:
            self._events, self._heard = events, now
        if now >= self._deadline:
            return "time"
        if now >= self._heard + self._job.silence:
            return "silence"
        return "output" if output_is_full else None


def _kind(error: OrchestratorError) -> FailureKind:
    """The failure class of a job whose environment cannot be had."""
    if isinstance(error, PullError):
        return "pull"
    return "build" if isinstance(error, BuildError) else "environment"


class _Report:
    """Collects what every result needs, whichever way the job ends."""

    def __init__(self, job: Job, attempt: int, provenance: Provenance) -> None:
        self._job = job
        self._attempt = attempt
        self.provenance = provenance
        self._start: Start | None = None
        self.telemetry: Telemetry | None = None
        self.neighbours: tuple[Neighbour, ...] = ()
        self.clock_starts()

    def clock_starts(self) -> None:
        """From now on time counts as the job's."""
        self._began = datetime.datetime.now(datetime.timezone.utc)
        self._clock = time.monotonic()

    def failed(
        self, kind: FailureKind, message: str, hint: str = "", conversation: Conversation | None = None
    ) -> Result:
        """The result of a job that could not be run to its end."""
        statuses: Mapping[FailureKind, Status] = {"interrupted": "interrupted", "incompatible": "skipped"}
        status = statuses.get(kind, "failed")
        if conversation is None:
            return self._result(status, Failure(kind=kind, message=message, hint=hint), None, Figures(), None)
        collector = conversation.collector
        failure = conversation.told(kind, message, hint)
        return self._result(status, failure, collector.start, collector.figures(), None)

    def ended(self, conversation: Conversation, exit_: Exit, failure: Failure | None) -> Result:
        """The result of a job that ran until it ended or was stopped."""
        status: Status = "ok" if failure is None else "timeout" if failure.kind == "timeout" else "failed"
        collector = conversation.collector
        return self._result(status, failure, collector.start, collector.figures(), exit_.code)

    def _result(
        self, status: Status, failure: Failure | None, start: Start | None, figures: Figures, code: int | None
    ) -> Result:
        return Result(
            job=self._job,
            attempt=self._attempt,
            status=status,
            failure=failure,
            start=start,
            figures=figures,
            provenance=self.provenance,
            began=self._began.isoformat(timespec="seconds"),
            seconds=time.monotonic() - self._clock,
            exit_code=code,
            telemetry=self.telemetry,
            neighbours=self.neighbours,
        )
