"""The ray engine: nodes of a Ray cluster, each running jobs with an engine of its own.

Ray is imported here, in ray_joining.py and in ray_losses.py, and nowhere else.

A run takes a node with an actor that asks for all its CPUs and GPUs, so that nothing else of that cluster is scheduled
beside what is measured; each job is one of its tasks. Nothing is retried by Ray: with that, what a lost node has sent
and what its successor sends would look like one stream. What the actor does is in node.py.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
import ray.exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.engines.base import EngineError, Environment, Exit, Launch, Output, Seen
from orchestrator.engines.nodes import Node
from orchestrator.engines.pump import Pump
from orchestrator.engines.ray import connection
from orchestrator.engines.ray import node as remote
from orchestrator.engines.ray.losses import LOST_HINT, headless, losses
from orchestrator.errors import OrchestratorError
from orchestrator.host.samples import ResourceUsage
from orchestrator.inputs.job_inputs import Inputs
from orchestrator.plan.catalog import Image
from orchestrator.plan.jobs import Job
from orchestrator.plan.spec import EngineName, LocalChoice
from orchestrator.record.results import DataFacts
from orchestrator.text import printable

SURVEY_SECONDS = 60.0  # for a node to say what it is; a worker process has to start there first
PATIENCE_SECONDS = 10.0  # until somebody who waits for a node is told
LOOK_SECONDS = 0.5  # between two looks whether it is still wanted
END_SECONDS = 10.0  # for a job that nobody listens to any more to end
WAITING = 16  # messages of a node that it may be ahead of us: a flood is slowed down, not buffered


def connect(
    address: str, *, root: Path, choice: LocalChoice, pythons: Mapping[str, Path], notify: Callable[[str], None]
) -> RayCluster:
    """The cluster at `address`, joined or started as `ray_joining.join` says. Raises HostError.

    `choice` and `pythons` are what every node's own engine is chosen by.
    """
    if connection.join(address, root) and address == "auto":
        notify("no Ray cluster was found, so one is started on this machine for this run (docs/cluster.md)")
    return RayCluster(choice, pythons, notify)


class RayCluster:
    """The cluster that this process has joined."""

    name: EngineName = "ray"

    def __init__(self, choice: LocalChoice, pythons: Mapping[str, Path], notify: Callable[[str], None]) -> None:
        self._choice = choice
        self._pythons = dict(pythons)
        self._notify = notify
        self._asked: dict[str, Any] = {}  # node → the reference of its answer
        self._known: dict[str, Node | None] = {}  # None: it cannot run jobs
        self._resources: dict[str, Mapping[str, float]] = {}

    def facts(self) -> Mapping[str, Any]:
        return {"ray": ray.__version__}

    def nodes(self) -> Sequence[Node]:
        """Those that answer. The first time this waits for all; later ones are there when they have answered."""
        alive = {each["NodeID"]: each for each in self._alive()}
        patience = 0.0 if self._known else SURVEY_SECONDS
        with headless():
            for node in alive.keys() - self._known.keys() - self._asked.keys():
                self._asked[node] = _on(remote.describe, node).remote(self._choice, self._pythons)
        if self._asked:
            with headless():
                answered, _ = ray.wait(list(self._asked.values()), num_returns=len(self._asked), timeout=patience)
            for node in [node for node, reference in self._asked.items() if reference in answered]:
                reference = self._asked.pop(node)
                if node in alive:
                    self._known[node] = self._described(alive[node], reference)
                    self._resources[node] = alive[node]["Resources"]
        if patience:
            for node in self._asked:
                self._notify(f"node {_name(alive[node])} has not answered for {patience:.0f} s: the run starts without")
        return [found for node, found in self._known.items() if found is not None and node in alive]

    def take(self, node: Node, notify: Callable[[str], None], still_wanted: Callable[[], bool]) -> RayNode | None:
        resources = self._resources[node.id]
        whole = node.share is None
        actor = ray.remote(remote.Worker).options(
            num_cpus=resources["CPU"] if whole else len(node.host.cpus),
            num_gpus=resources.get("GPU", 0) if whole else len(node.host.gpus),
            memory=int(resources.get("memory", 0)) if whole else node.memory or 0,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=4,  # a job can be told to end while it runs
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
        )
        with losses(node.name):
            taken = RayNode(node, actor.remote(self._choice, self._pythons), notify)
            if not taken.wait(still_wanted):
                taken.close()
                return None
        return taken

    def close(self) -> None:
        connection.leave()

    def _alive(self) -> list[dict[str, Any]]:
        """The nodes that may run jobs: a head that was started with --num-cpus=0 does not. Raises HostError."""
        with headless():
            connection.await_head(ray.get_runtime_context().gcs_address)
            found: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
        return [each for each in found if each["Alive"] and each["Resources"].get("CPU")]

    def _described(self, told: Mapping[str, Any], reference: Any) -> Node | None:
        name = _name(told)
        try:
            with losses(name):
                found = ray.get(reference)
        except EngineError as error:
            self._notify(f"node {name} is left out: {error.message}" + (f" ({error.hint})" if error.hint else ""))
            return None
        if isinstance(found, OrchestratorError):
            self._notify(f"node {name} is left out: {found.message} ({found.hint})")
            return None
        for note in found.notes:
            self._notify(f"node {name}: {note}")
        return Node(
            id=told["NodeID"],
            name=name,
            host=found.host,
            engine=found.engine,
            engine_facts={**found.engine_facts, **self.facts()},
            gpu_problem=found.gpu_problem,
            labels=dict(told.get("Labels") or {}),
        )


class RayNode:
    """A node that a run has taken: meets base.NodeEngine."""

    name: EngineName = "ray"

    def __init__(self, node: Node, worker: Any, notify: Callable[[str], None]) -> None:
        self.node = node
        self._worker = worker
        self._notify = notify
        self._numbers = itertools.count()
        self._spent = False

    @property
    def spent(self) -> bool:
        return self._spent

    def wait(self, still_wanted: Callable[[], bool]) -> bool:
        """Wait until Ray has given us the node; False when it was no longer wanted."""
        ready = self._worker.ready.remote()
        began, told = time.monotonic(), False
        while not ray.wait([ready], timeout=LOOK_SECONDS)[0]:
            if not still_wanted():
                return False
            if not told and time.monotonic() > began + PATIENCE_SECONDS:
                told = True
                self._notify(f"{self.node.name}: waiting; it is slow, or other Ray work holds its CPUs (`ray status`)")
        if note := ray.get(ready):
            self._notify(f"{self.node.name}: {note}")
        return True

    def gpu_problem(self) -> str | None:
        return self.node.gpu_problem

    def facts(self) -> Mapping[str, Any]:
        return self.node.engine_facts

    def prepare(self, image: Image, variant: str, log: Callable[[str], None]) -> Environment:
        made: Environment | None = None
        for told in self._stream(self._worker.prepare.options(num_returns="streaming").remote(image.name, variant)):
            for line in told.lines:
                log(line)
            made = told.environment or made
        if made is None:
            raise EngineError(f"node {self.node.name} prepared nothing", hint=LOST_HINT, kind="node")
        return made

    def inputs(self, job: Job, expected: DataFacts) -> Inputs:
        with losses(self.node.name):
            made, notes = ray.get(self._worker.inputs.remote(job, expected))
        for note in notes:
            self._notify(note)
        if isinstance(made, OrchestratorError):
            made.message = f"node {self.node.name}: {made.message}"
            raise made
        found: Inputs = made
        return found

    @contextlib.contextmanager
    def run(self, environment: Environment, launch: Launch) -> Iterator[_Running]:
        number = next(self._numbers)
        order = remote.Order(
            job=launch.job,
            run=launch.run,
            environment=environment,
            inputs=launch.inputs,
            cpus=launch.cpus,
            gpus=launch.gpus,
        )
        options = {"num_returns": "streaming", "_generator_backpressure_num_objects": WAITING}
        stream = self._stream(self._worker.run.options(**options).remote(number, order))
        if not any(told.running for told in stream):  # takes what comes before; waits for a GPU that is in use, say
            raise EngineError(f"node {self.node.name} did not start the job", hint=LOST_HINT, kind="node")
        running = _Running(stream, launch.output, stop=lambda: self._worker.stop.remote(number))
        try:
            yield running
        finally:
            running.let_go()
            ended = False
            with contextlib.suppress(ray.exceptions.RayError):
                ended = ray.get(self._worker.end.remote(number, END_SECONDS), timeout=2 * END_SECONDS)
            if not ended:
                self._spent = True
                self.close()  # its processes go with it, and what they started with the watchdog

    def close(self) -> None:
        with contextlib.suppress(ray.exceptions.RayError):
            ray.kill(self._worker)

    def _stream(self, generator: Any) -> Iterator[remote.NodeMessage]:
        """What the node tells, piece by piece. Raises EngineError when it is lost, and the error it tells."""
        with losses(self.node.name):
            for reference in generator:
                told: remote.NodeMessage = ray.get(reference)
                if told.error is not None:
                    raise told.error
                if told.notice:
                    self._notify(f"{self.node.name}: {told.notice}")
                yield told


class _Running:
    """A job on a node."""

    def __init__(self, stream: Iterator[remote.NodeMessage], output: Path, *, stop: Callable[[], object]) -> None:
        self._output = output
        self._stop = stop
        self._exit: Exit | None = None
        self._seen = Seen()
        self._pump = Pump(self._read(stream))

    def output(self) -> Iterator[Output | None]:
        return self._pump.outputs()

    def usage(self) -> ResourceUsage | None:
        return None  # the node samples for itself

    def stop(self) -> None:
        self.let_go()
        with contextlib.suppress(ray.exceptions.RayError):
            self._stop()

    def let_go(self) -> None:
        """The job is about to end: do not hold it up."""
        self._pump.relax()

    def seen(self) -> Seen:
        return self._seen

    @property
    def exit(self) -> Exit:
        if self._exit is None:
            raise EngineError("the job has not ended")
        return self._exit

    def _read(self, stream: Iterator[remote.NodeMessage]) -> Iterator[Output]:
        for told in stream:
            yield from told.outputs
            if told.output_is_full:
                self._seen = Seen(output_is_full=True)
            if told.artifact is not None:
                _keep(self._output, *told.artifact)
            if told.ended is not None:
                self._exit, self._seen = told.ended


def _keep(folder: Path, name: str, content: bytes) -> None:
    """Put an artifact where a job on this machine would have put it; a name that leads elsewhere is none."""
    if name == Path(name).name and name not in {"", ".", ".."}:
        with contextlib.suppress(OSError):  # then it is missing, and the job is told so
            (folder / name).write_bytes(content)


def _on(function: Callable[..., Any], node: str) -> Any:
    """`function` as a task of a node, beside whatever runs there."""
    where = NodeAffinitySchedulingStrategy(node, soft=False)
    return ray.remote(function).options(num_cpus=0, max_retries=0, scheduling_strategy=where)


def _name(told: Mapping[str, Any]) -> str:
    """What a person calls a node: the name it was given, or its machine's. Ray's own default is the address."""
    given = told.get("NodeName")
    return printable(str(given if given and given != told["NodeManagerAddress"] else told["NodeManagerHostname"]))
