"""What runs on a node of a cluster: prepares there what a job needs, runs it with the node's own engine, and tells.

No ray is imported here: engines/ray.py starts a Worker on a node and calls its methods. All that they take and give
back is plain data. An error meant for a person is given back as a value, so that it arrives as what it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from orchestrator import engines
from orchestrator.engines import leftovers
from orchestrator.engines.base import Engine, EngineError, Environment, Execution, Exit, Launch, Output, Seen
from orchestrator.engines.sampler import Sampler
from orchestrator.errors import DataError, OrchestratorError
from orchestrator.files import default_cache, remove_tree
from orchestrator.host import machine
from orchestrator.host.machine import Gpu, Host
from orchestrator.host.neighbours import Turns, Watch
from orchestrator.inputs.job_inputs import Inputs, Store
from orchestrator.plan import catalog
from orchestrator.plan.jobs import Job
from orchestrator.plan.spec import LocalChoice, LocalEngine
from orchestrator.record.events import Event, Lines, Reader, Violation
from orchestrator.record.results import DataFacts
from orchestrator.record.run_folder import MAX_OUTPUT_BYTES, is_overfull

BATCH_SECONDS = 0.2  # output waits so long for more before it is sent
BATCH_BYTES = 1 << 16  # and is sent at once when there is so much
LOOK_SECONDS = 1.0  # between two looks at the output folder


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a node is."""

    host: Host
    engine: LocalEngine
    engine_facts: Mapping[str, Any]
    gpu_problem: str | None  # why that engine cannot give a job a GPU
    notes: tuple[str, ...] = ()  # what a person should know about how that engine was chosen


@dataclass(frozen=True, kw_only=True)
class Order:
    """A job to run: like base.Launch, with paths of the node."""

    job: Job
    run: str
    environment: Environment
    inputs: Mapping[str, Path]
    cpus: tuple[int, ...]
    gpus: tuple[Gpu, ...]


@dataclass(frozen=True, kw_only=True)
class NodeMessage:
    """Part of what a node tells while it prepares or runs something."""

    outputs: tuple[Output, ...] = ()
    lines: tuple[str, ...] = ()  # of a build
    notice: str = ""
    running: bool = False  # the job runs from now on
    output_is_full: bool = False
    artifact: tuple[str, bytes] | None = None  # a file's name and content
    environment: Environment | None = None
    ended: tuple[Exit, Seen] | None = None
    error: OrchestratorError | EngineError | None = None


def describe(choice: LocalChoice, pythons: Mapping[str, Path]) -> Description | OrchestratorError:
    """This node."""
    try:
        notes: list[str] = []
        engine = engines.choose(choice, cache=default_cache(), pythons=pythons, notify=notes.append)
        return Description(
            host=machine.inspect(),
            engine="docker" if engine.name == "docker" else "process",
            engine_facts={**engine.facts(), "orchestrator_python": platform.python_version()},
            gpu_problem=engine.gpu_problem(),
            notes=tuple(notes),
        )
    except OrchestratorError as error:
        return error


def _full_priority() -> int:
    """Undo Ray's own nice of 15 for what this process starts, as far as it may; returns the niceness that is left.

    It belongs to threads, and what one of them starts inherits its own.
    """
    if hasattr(os, "setpriority"):
        tasks = Path("/proc/self/task")
        for thread in [int(task.name) for task in tasks.iterdir()] if tasks.is_dir() else [0]:
            with contextlib.suppress(OSError):  # only root may, or the thread has just ended
                os.setpriority(os.PRIO_PROCESS, thread, 0)
    return max(0, os.getpriority(os.PRIO_PROCESS, 0)) if hasattr(os, "getpriority") else 0


def _unheard(_: str) -> None:
    """That a node without Docker uses the process engine was told when it was described, and stands in every result."""


class Worker:
    """One node's part in a run. Its methods are called one after the other, but for `stop` and `end`."""

    def __init__(self, choice: LocalChoice, pythons: Mapping[str, Path]) -> None:
        """Jobs use `choice` for an engine; the project is in the working directory."""
        self._root = Path.cwd()
        self._cache = default_cache()
        self._engine: Engine = engines.choose(choice, cache=self._cache, pythons=pythons, notify=_unheard)
        self._images = {image.name: image for image in catalog.load(self._root).images}
        self._stores: dict[str, Store] = {}
        self._controls: dict[int, _Control] = {}
        self._notes: list[str] = []  # of the call of `inputs` that is under way
        with contextlib.suppress(OSError):  # another Worker of this node may be at it too
            for leftover in leftovers.find(self._cache, everything=False):  # of a task, or a node, that was killed
                with contextlib.suppress(OSError, OrchestratorError):
                    leftover.remove()

    def ready(self) -> str:
        """Answers once the node has been taken, with what a person should know about it."""
        nice = _full_priority()
        if not nice or self._engine.name == "docker":  # Docker's daemon starts containers, at its own priority
            return ""
        return (
            f"jobs run at niceness {nice} there, after every other program, so figures suffer: "
            "start Ray with RAY_worker_niceness=0 (docs/cluster.md)"
        )

    def prepare(self, image: str, variant: str) -> Iterator[NodeMessage]:
        """Build or find an environment on this node: what is printed meanwhile, then the environment or an error."""
        lines: SimpleQueue[str] = SimpleQueue()
        with ThreadPoolExecutor(max_workers=1) as pool:
            made = pool.submit(self._engine.prepare, self._images[image], variant, lines.put)
            while not made.done():
                wait([made], timeout=BATCH_SECONDS)
                if told := [lines.get() for _ in range(lines.qsize())]:
                    yield NodeMessage(lines=tuple(told))
        try:
            yield NodeMessage(environment=made.result())
        except OrchestratorError as error:
            yield NodeMessage(error=error)

    def inputs(self, job: Job, expected: DataFacts) -> tuple[Inputs | OrchestratorError, list[str]]:
        """Make a job's inputs on this node; an error when they are not those expected. With what should be noticed."""
        notes = self._notes = []
        try:
            if expected.source not in self._stores:
                choice: Any = expected.source  # what the head's choice came to: this node must not choose otherwise
                self._stores[expected.source] = Store(cache=self._cache, choice=choice)
            made = self._stores[expected.source].for_job(job)
        except OrchestratorError as error:
            return error, notes
        return (made if made.facts == expected else _other_data(made.facts, expected)), notes

    def _notice(self, text: str) -> None:
        self._notes.append(text)

    def run(self, number: int, order: Order) -> Iterator[NodeMessage]:
        """Run a job: that it runs, its output in batches, its artifacts, and how it ended, or an error."""
        control = self._controls.setdefault(number, _Control())
        try:
            with _folder() as folder:
                yield from self._run(order, folder, control)
        except EngineError as error:
            yield NodeMessage(error=error)
        finally:
            control.over.set()
            del self._controls[number]

    def stop(self, number: int) -> None:
        """End job `number`: SIGTERM, then SIGKILL."""
        if control := self._controls.get(number):
            control.stop.set()

    def end(self, number: int, seconds: float) -> bool:
        """Job `number` has no listener any more: end it at once. Returns whether it has ended in so many seconds."""
        control = self._controls.get(number)
        if control is None:
            return True
        control.end.set()
        return control.over.wait(seconds)

    def _run(self, order: Order, folder: Path, control: _Control) -> Iterator[NodeMessage]:
        launch = self._launch(order, folder)
        sampler = Sampler(order.job.gpus)
        with Turns(self._cache).on(order.job.gpus) as others:
            watch = Watch(order.job.gpus, others)
            with self._engine.run(order.environment, launch) as execution, sampler.beside(execution.usage):
                yield NodeMessage(running=True)
                yield from _listen(execution, launch.output, control, sampler.hear)
                exit_ = execution.exit
            telemetry, series = sampler.found()
            seen = Seen(neighbours=watch.neighbours(), telemetry=telemetry, series=series)
        if not is_overfull(launch.output):
            for path in _plain_files(launch.output):
                yield NodeMessage(artifact=(path.name, path.read_bytes()))
        yield NodeMessage(ended=(exit_, seen))

    def _launch(self, order: Order, folder: Path) -> Launch:
        spec, output = folder / "spec.json", folder / "output"
        spec.write_text(json.dumps(order.job.for_workload()))
        output.mkdir()
        return Launch(
            job=order.job,
            run=order.run,
            workloads=self._root / "workloads",
            inputs=order.inputs,
            spec=spec,
            output=output,
            cpus=order.cpus,
            gpus=order.gpus,
        )


@dataclass(frozen=True)
class _Control:
    """How one job is told to end, from another thread, and that it has."""

    stop: threading.Event = field(default_factory=threading.Event)
    end: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)


class _Ended(EngineError):
    """Nobody listens to the job any more."""


def _listen(
    execution: Execution, output: Path, control: _Control, hear: Callable[[Event], None]
) -> Iterator[NodeMessage]:
    """The job's output in batches until it is over."""
    hearing = _Hearing(hear)
    waiting: list[Output] = []
    size, stopped = 0, False
    sent = looked = time.monotonic()
    for each in execution.output():
        now = time.monotonic()
        if each is not None:
            hearing.take(each)
            waiting.append(each)
            size += len(each.data)
        if waiting and (size >= BATCH_BYTES or now >= sent + BATCH_SECONDS):
            yield NodeMessage(outputs=tuple(waiting))
            waiting, size, sent = [], 0, now
        if now >= looked + LOOK_SECONDS:
            looked = now
            if is_overfull(output):
                yield NodeMessage(output_is_full=True)
        if control.end.is_set():
            raise _Ended("the orchestrator has let go of the job")
        if control.stop.is_set() and not stopped:
            stopped = True
            execution.stop()
    yield NodeMessage(outputs=tuple(waiting))


class _Hearing:
    """Tells a sampler of the job's events as they arrive: it needs to know what was timed.

    What is wrong with them is for the orchestrator to say.
    """

    def __init__(self, hear: Callable[[Event], None]) -> None:
        self._hear = hear
        self._lines = Lines()
        self._reader = Reader()
        self._deaf = False

    def take(self, output: Output) -> None:
        """Output of the job."""
        if self._deaf or output.stream == "stderr":
            return
        try:
            for line in self._lines.feed(output.data):
                if line.startswith(b"{"):
                    self._hear(self._reader.read(line))
        except Violation:
            self._deaf = True


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A folder for one job, which `orchestrator clean` knows should this process be killed."""
    path = Path(tempfile.mkdtemp(prefix=f"{leftovers.JOB_FOLDER}{leftovers.owner()}-"))
    try:
        yield path
    finally:
        with contextlib.suppress(OSError):  # a later `clean` will try again
            remove_tree(path)


def _plain_files(folder: Path) -> Iterator[Path]:
    """What may be an artifact: no link is followed, no pipe opened."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_size <= MAX_OUTPUT_BYTES:
                yield Path(entry.path)


def _other_data(here: DataFacts, expected: DataFacts) -> DataError:
    what = [
        name for name in sorted({*here.inputs, *expected.inputs}) if here.inputs.get(name) != expected.inputs.get(name)
    ]
    if here.fingerprint != expected.fingerprint:
        what.append(f"{here.label} (the orchestrator has {expected.label})")
    return DataError(
        f"this node's inputs are not the orchestrator's, by sha256: {', '.join(what)}",
        hint="give both the same: `orchestrator data ls` on each says what they have, `data import` adds to it",
    )
