"""A node of a Ray cluster that a run has taken, as the orchestrator sees it. The node's own side is node.py."""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import ray
import ray.exceptions

from orchestrator import activity
from orchestrator.engines.base import EngineError, Environment, Exit, Launch, Observations, Output
from orchestrator.engines.hosts import Node
from orchestrator.engines.pump import Pump
from orchestrator.engines.ray.losses import LOST_HINT, losses
from orchestrator.engines.ray.messages import Ended, NodeMessage
from orchestrator.errors import DataError
from orchestrator.inputs.job_inputs import Inputs
from orchestrator.plan.catalog import Image
from orchestrator.plan.jobs import Job

_log = logging.getLogger(__name__)

PATIENCE_SECONDS = 10.0  # for a node until a message says what the run waits for
LOOK_SECONDS = 0.5  # between two checks whether the node is still wanted
END_SECONDS = 10.0  # for the end of a job whose output is not read any more
WAITING = 16  # messages that a node may send ahead of their reading: a flood is slowed down, not buffered


class RayNode:
    """A node that a run has taken; meets base.TakenNode."""

    def __init__(self, node: Node, worker: Any) -> None:
        """`worker` is the handle of an actor made of node.Worker."""
        self.node = node
        self.worker = worker
        self._numbers = itertools.count()
        self._spent = False

    @property
    def spent(self) -> bool:
        return self._spent

    def wait(self, wanted: Callable[[], bool]) -> bool:
        """Wait until Ray has given the node to this run; False when it was no longer wanted."""
        ready = self.worker.ready.remote()
        began, reported = time.monotonic(), False
        while not ray.wait([ready], timeout=LOOK_SECONDS)[0]:
            if not wanted():
                return False
            if not reported and time.monotonic() > began + PATIENCE_SECONDS:
                reported = True
                _log.warning("%s: waiting; it is slow, or other Ray work holds its CPUs (`ray status`)", self.node.name)
        if note := ray.get(ready):
            _log.warning("%s: %s", self.node.name, note)
        return True

    def prepare(self, image: Image, variant: str) -> Environment:
        for message in self._stream(self.worker.prepare, image.name, variant):
            if message.environment is not None:
                return message.environment
        raise EngineError(f"node {self.node.name} prepared nothing", hint=LOST_HINT, kind="node")

    def inputs(self, job: Job, here: Inputs) -> Inputs:
        try:
            for message in self._stream(self.worker.inputs, job, here.facts):
                if message.inputs is not None:
                    return message.inputs
        except DataError as error:
            error.message = f"node {self.node.name}: {error.message}"
            raise
        raise EngineError(f"node {self.node.name} made no inputs", hint=LOST_HINT, kind="node")

    @contextlib.contextmanager
    def run(self, environment: Environment, launch: Launch) -> Iterator[RemoteJob]:
        number = next(self._numbers)
        stream = self._stream(self.worker.run, number, environment, launch)
        running = None
        for message in stream:  # what comes before the job runs: for example, that it waits for a GPU that is in use
            if message.waited is not None:
                running = RemoteJob(stream, message.waited, lambda: self.worker.stop.remote(number))
                break
        if running is None:
            raise EngineError(f"node {self.node.name} did not start the job", hint=LOST_HINT, kind="node")
        try:
            yield running
        finally:
            running.let_go()
            ended = False
            with contextlib.suppress(ray.exceptions.RayError):
                ended = ray.get(self.worker.end.remote(number, END_SECONDS), timeout=2 * END_SECONDS)
            if not ended:
                self._spent = True
                self.close()  # its processes go with it, and the watchdog ends what they started

    def close(self) -> None:
        with contextlib.suppress(ray.exceptions.RayError):
            ray.kill(self.worker)

    def _stream(self, method: Any, *arguments: object) -> Iterator[NodeMessage]:
        """The messages of a method of the node's Worker. What the node logs is logged here, with its name.

        Raises EngineError when the node is lost, and the error that the node reports.
        """
        options = {"num_returns": "streaming", "_generator_backpressure_num_objects": WAITING}
        with losses(self.node.name):
            for reference in method.options(**options).remote(*arguments):
                message: NodeMessage = ray.get(reference)
                for line in message.log:
                    _log.log(line.level, "%s: %s", self.node.name, line.text)
                activity.report(message.activity)
                if message.error is not None:
                    raise message.error
                yield message


class RemoteJob:
    """A job that runs on a node; meets base.Execution."""

    def __init__(self, stream: Iterator[NodeMessage], waited: float, stop: Callable[[], object]) -> None:
        self.waited = waited
        self._stop = stop
        self._ended: Ended | None = None
        self._pump = Pump(self._read(stream))

    def output(self) -> Iterator[Output | None]:
        return self._pump.outputs()

    def stop(self) -> None:
        self.let_go()
        with contextlib.suppress(ray.exceptions.RayError):
            self._stop()

    def let_go(self) -> None:
        """The job is about to end: do not hold it up."""
        self._pump.relax()

    @property
    def exit(self) -> Exit:
        if self._ended is None:
            raise EngineError("the job has not ended")
        return self._ended.exit

    def observations(self) -> Observations | None:
        return self._ended.observations if self._ended else None

    def _read(self, stream: Iterator[NodeMessage]) -> Iterator[Output]:
        for message in stream:
            yield from message.outputs
            self._ended = message.ended or self._ended
