"""What runs on a node of a cluster: it prepares what a job needs, runs it with the node's own engine, and reports.

Ray is not imported here: cluster.py and taken.py start a Worker on a node and call its methods. All that they take and
return is plain data. An error for the user is returned as a value, so that it arrives unchanged.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator import activity
from orchestrator.activity import Activity
from orchestrator.engines import leftovers, registry
from orchestrator.engines.base import Engine, EngineError, Environment, Execution, Launch, Output
from orchestrator.engines.ray.messages import Ended, LogCollector, NodeMessage
from orchestrator.engines.registration import Setup
from orchestrator.errors import DataError, HostError, OrchestratorError
from orchestrator.files import default_cache
from orchestrator.inputs.job_inputs import Inputs, Store
from orchestrator.plan import catalog
from orchestrator.plan.jobs import Job
from orchestrator.record import fingerprint
from orchestrator.record.results import DataFacts

_log = logging.getLogger(__name__)

BATCH_SECONDS = 0.2  # output waits so long for more before it is sent
BATCH_BYTES = 1 << 16  # and is sent at once when there is so much


def describe(choice: str, pythons: Mapping[str, Path]) -> NodeMessage:
    """This node, with what was logged when its engine was chosen, or an error."""
    log = LogCollector()
    log.start()
    try:
        (node,) = _own_engine(choice, pythons).nodes()
    except OrchestratorError as error:
        return NodeMessage(log=log.take(), error=error)
    finally:
        log.stop()
    facts = {**node.engine_facts, "orchestrator_python": platform.python_version()}
    return NodeMessage(log=log.take(), described=dataclasses.replace(node, engine_facts=facts))


def _own_engine(choice: str, pythons: Mapping[str, Path]) -> Engine:
    # The project is in the working directory. Its path is not looked up here: Ray may still be unpacking it.
    setup = Setup(root=Path(), cache=default_cache(), pythons=pythons)
    return registry.connect_local(choice, setup)


def niceness_left() -> int:
    """Undo Ray's own nice of 15 for what this process starts, as far as allowed; returns the niceness that is left.

    It belongs to threads, and what a thread starts inherits the thread's.
    """
    if hasattr(os, "setpriority"):
        tasks = Path("/proc/self/task")
        for thread in [int(task.name) for task in tasks.iterdir()] if tasks.is_dir() else [0]:
            with contextlib.suppress(OSError):  # only root may, or the thread has just ended
                os.setpriority(os.PRIO_PROCESS, thread, 0)
    return max(0, os.getpriority(os.PRIO_PROCESS, 0)) if hasattr(os, "getpriority") else 0


def note_on_priority(engine: str, nice: int) -> str:
    """A message for the user about the priority of jobs on a node; empty when they have the normal one."""
    if not nice or not registry.find(engine).starts_children:  # a daemon starts them, with its own priority
        return ""
    return (
        f"jobs run at niceness {nice} there, after every other program, so figures suffer: "
        "start Ray with RAY_worker_niceness=0 (docs/cluster.md)"
    )


class Worker:
    """One node's part in a run. Its methods are called one after the other, except `stop` and `end`."""

    def __init__(self, choice: str, pythons: Mapping[str, Path]) -> None:
        """Jobs use the engine `choice`; the project is in the working directory."""
        self._root = Path.cwd()
        self._cache = default_cache()
        self._code = fingerprint.inspect(self._root)
        self._log = LogCollector()
        self._log.start()
        engine = _own_engine(choice, pythons)
        taken = engine.take(engine.nodes()[0], lambda: True)
        if taken is None:
            raise HostError("this node's own engine does not answer", hint="see its log")
        self._taken = taken
        self._log.take()  # the same was already reported when the node was described
        self._images = {image.name: image for image in catalog.load(self._root).images}
        self._stores: dict[str, Store] = {}
        self._controls: dict[int, _Control] = {}
        with contextlib.suppress(OSError):  # another Worker of this node may do the same now
            for leftover in leftovers.find(self._cache, everything=False):  # of a task, or a node, that was killed
                with contextlib.suppress(OSError, OrchestratorError):
                    leftover.remove()

    def ready(self) -> str:
        """Return once the node has been taken, with a message for the user about it."""
        return note_on_priority(self._taken.node.engine, niceness_left())

    def prepare(self, image: str, variant: str) -> Iterator[NodeMessage]:
        """Build or find an environment on this node: what is logged meanwhile, then the environment or an error."""
        yield from self._reported(
            lambda: NodeMessage(environment=self._taken.prepare(self._images[image], variant)),
        )

    def inputs(self, job: Job, expected: DataFacts) -> Iterator[NodeMessage]:
        """Make a job's inputs on this node; an error when they are not those that are expected."""

        def make() -> NodeMessage:
            if expected.source not in self._stores:
                choice: Any = expected.source  # what the orchestrator's choice led to: this node must use the same
                self._stores[expected.source] = Store(cache=self._cache, choice=choice)
            made = self._stores[expected.source].for_job(job)
            if made.facts != expected:
                raise _other_data(made, expected)
            return NodeMessage(inputs=made)

        yield from self._reported(make)

    def run(self, number: int, environment: Environment, launch: Launch) -> Iterator[NodeMessage]:
        """Run a job: that it runs, its output in batches, and how it ended, or an error."""
        control = self._controls.setdefault(number, _Control())
        try:
            with leftovers.job_folder() as folder:
                yield from self._run(environment, self._here(launch, folder), control)
        except (EngineError, OrchestratorError) as error:
            yield NodeMessage(log=self._log.take(), error=error)
        finally:
            control.over.set()
            del self._controls[number]

    def stop(self, number: int) -> None:
        """End job `number`: SIGTERM, then SIGKILL."""
        if control := self._controls.get(number):
            control.stop.set()

    def end(self, number: int, seconds: float) -> bool:
        """End job `number` at once: its output is not read any more. Returns whether it ended in so many seconds."""
        control = self._controls.get(number)
        if control is None:
            return True
        control.end.set()
        return control.over.wait(seconds)

    def _reported(self, work: Callable[[], NodeMessage]) -> Iterator[NodeMessage]:
        """Do `work`, report what is logged and done meanwhile, and then what came of it."""
        latest: list[Activity | None] = [None]
        sent = None
        with ThreadPoolExecutor(max_workers=1) as pool, activity.heard(partial(latest.__setitem__, 0)):
            done = pool.submit(work)
            while not done.done():
                wait([done], timeout=BATCH_SECONDS)
                lines, now = self._log.take(), latest[0]
                if lines or now != sent:
                    yield NodeMessage(log=lines, activity=now)
                    sent = now
        try:
            message = done.result()
        except OrchestratorError as error:
            message = NodeMessage(error=error)
        yield dataclasses.replace(message, log=self._log.take())

    def _run(self, environment: Environment, launch: Launch, control: _Control) -> Iterator[NodeMessage]:
        with self._taken.run(environment, launch) as execution:
            yield NodeMessage(log=self._log.take(), waited=execution.waited)
            yield from _listen(execution, control)
            exit_ = execution.exit
        yield NodeMessage(log=self._log.take(), ended=Ended(exit=exit_, observations=execution.observations()))

    def _here(self, launch: Launch, folder: Path) -> Launch:
        """The same launch with paths of this node; those of its inputs are already."""
        spec = folder / "spec.json"
        spec.write_text(json.dumps(launch.job.for_workload()))
        return dataclasses.replace(launch, workloads=self._code.freeze(launch.job.module, self._cache), spec=spec)


@dataclass(frozen=True)
class _Control:
    """Ends one job from another thread, and waits for its end."""

    stop: threading.Event = field(default_factory=threading.Event)
    end: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)


class _Ended(EngineError):
    """The output of the job is not read any more."""


def _listen(execution: Execution, control: _Control) -> Iterator[NodeMessage]:
    """The job's output in batches until it is over."""
    waiting: list[Output] = []
    size, stopped = 0, False
    sent = time.monotonic()
    for each in execution.output():
        now = time.monotonic()
        if each is not None:
            waiting.append(each)
            size += len(each.data)
        if waiting and (size >= BATCH_BYTES or now >= sent + BATCH_SECONDS):
            yield NodeMessage(outputs=tuple(waiting))
            waiting, size, sent = [], 0, now
        if control.end.is_set():
            raise _Ended("the orchestrator has let go of the job")
        if control.stop.is_set() and not stopped:
            stopped = True
            execution.stop()
    yield NodeMessage(outputs=tuple(waiting))


def _other_data(made: Inputs, expected: DataFacts) -> DataError:
    here = made.facts
    what = [
        name for name in sorted({*here.inputs, *expected.inputs}) if here.inputs.get(name) != expected.inputs.get(name)
    ]
    if here.fingerprint != expected.fingerprint:
        what.append(f"{here.label} (the orchestrator has {expected.label})")
    return DataError(
        f"this node's inputs are not the orchestrator's, by sha256: {', '.join(what)}",
        hint="give both the same: `rosetta data ls` on each says what they have, `data import` adds to it",
    )
