"""Runs jobs on the nodes of a cluster side by side: a thread and a Runner for each node.

Every node takes the next job that may run there, so a slow one holds nobody up; one that finds none is given back.
When a node is lost its job goes to another, as far as the job's retries allow; a node that joins gets its share.
Results are stored as they come.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from orchestrator.engines import nodes as hosts
from orchestrator.engines.base import Cluster, EngineError, NodeEngine
from orchestrator.engines.nodes import Node
from orchestrator.errors import HostError
from orchestrator.plan.catalog import Catalog
from orchestrator.plan.jobs import Job
from orchestrator.plan.spec import Spec
from orchestrator.record import fingerprint
from orchestrator.record.fingerprint import Checkout
from orchestrator.record.provenance import EnvironmentFacts, HostFacts
from orchestrator.record.results import Failure, NodeFacts, Provenance, Result
from orchestrator.record.run_folder import RunFolder
from orchestrator.run.lanes import Locked, NodeListener, OneAtATime, OnNode
from orchestrator.run.runner import Halt, InputsFor, Listener, Runner, unrun

TICK = 0.25  # seconds between two looks at whether a person, or the last job, has ended the run
LOOK_SECONDS = 5.0  # between two looks for nodes that joined
STARTING_SECONDS = 5.0  # a node takes to be ours; after that we try another one too
PARTING_SECONDS = 30.0  # for threads to end that have lost their nodes; without a cluster they may hang for good
LOSSES = 2  # of our part on a node, which may have died alone, until the run goes on without it

MakeRunner = Callable[[NodeEngine, Listener, InputsFor, Halt], Runner]


@dataclass(kw_only=True)
class _Task:
    """A job that waits for a node."""

    job: Job
    number: int
    more: int  # attempts after the next


def gather(
    cluster: Cluster,
    *,
    catalog: Catalog,
    spec: Spec,
    folder: RunFolder,
    store: InputsFor,
    code: Checkout,
    listener: Listener,
    given: Collection[str] = (),
) -> Crew:
    """A crew for a run of `spec` into `folder`. Of the images in `given` a person brings the environment."""
    images = {name: image for name, (_, image) in catalog.frameworks.items()}

    def placed(job: Job, node: Node) -> Job | Failure:
        return hosts.placed(job, node, spec, images[job.framework], judge=job.image not in given)

    def runner(engine: NodeEngine, listener: Listener, made: InputsFor, halt: Halt) -> Runner:
        return Runner(
            catalog=catalog,
            engine=engine,
            folder=folder,
            inputs=made,
            code=code,
            host=engine.node.host,
            listener=listener,
            turns=None,
            node=NodeFacts(name=engine.node.name, engine=engine.node.engine, exclusive=engine.node.share is None),
            halt=halt,
        )

    def nowhere(job: Job, why: Failure) -> Result:
        provenance = Provenance(
            engine=cluster.name,
            environment=EnvironmentFacts(),
            code=fingerprint.of_module(code, job.module),
            host=HostFacts(),
        )
        return unrun(folder, job, why, provenance)

    def nodes() -> list[Node]:
        return hosts.places(cluster.nodes(), spec)

    return Crew(cluster, nodes=nodes, placed=placed, runner=runner, unrun=nowhere, store=store, listener=listener)


class Crew:
    """Runs jobs on all nodes of a cluster that may have them."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        nodes: Callable[[], Sequence[Node]],
        placed: Callable[[Job, Node], Job | Failure],
        runner: MakeRunner,
        unrun: Callable[[Job, Failure], Result],
        store: InputsFor,
        listener: Listener,
    ) -> None:
        """`nodes` finds those there are now, or their parts; `store` makes this machine's inputs.

        `placed` says what a job is on a node, or why it cannot run there.

        `unrun` stores the result of a job that no node can run.
        """
        self._cluster = cluster
        self._find = nodes
        self._placed = placed
        self._make_runner = runner
        self._unrun = unrun
        self._store = OneAtATime(store)
        self._listener = Locked(listener)
        self._halt = Halt()
        self._changed = threading.Condition()
        self._waiting: list[_Task] = []
        self._running = 0
        self._results: dict[str, Result] = {}
        self._nodes: Sequence[Node] = ()  # when we last looked
        self._gone: set[str] = set()  # places of nodes that failed us
        self._losses: Counter[str] = Counter()  # by the node's place
        self._hands: dict[str, _Hand] = {}  # by the node's place
        self._error: BaseException | None = None
        self._total = 0

    def run(self, jobs: Sequence[Job], skip: Mapping[str, Failure] = MappingProxyType({})) -> list[Result]:
        """Run `jobs`, in order as far as nodes are free; their results in that order.

        Jobs whose id is in `skip` cannot run on any node: that is their result.
        """
        self._total = len(jobs)
        self._results.clear()
        self._waiting = [_Task(job=job, number=n, more=job.retries) for n, job in enumerate(jobs, start=1)]
        for task in [task for task in self._waiting if task.job.id in skip]:
            self._give_up(task, skip[task.job.id])
        try:
            self._work()
        except KeyboardInterrupt:
            self._stop()
            raise
        finally:
            self._disband()
        return [self._results[job.id] for job in jobs]

    def _work(self) -> None:
        """Until every job has a result. An error of a thread, such as a full disk, is raised here."""
        looked = -LOOK_SECONDS
        while True:
            if time.monotonic() >= looked + LOOK_SECONDS:
                self._look()
                looked = time.monotonic()
            self._welcome()
            with self._changed:
                self._strand()
                if self._error is not None:
                    raise self._error
                if not self._waiting and not self._running:
                    return
                self._changed.wait(TICK)

    def _look(self) -> None:
        """See which nodes there are. Raises HostError without a cluster, unless the last job has ended meanwhile."""
        known = {node.id for node in self._nodes}
        try:
            self._nodes = self._find()
        except HostError:
            with self._changed:
                if self._waiting or self._running:
                    raise
        for node in {node.id: node for node in self._nodes}.values():
            if known and node.id not in known:
                self._listener.notice(f"node {node.name} has joined: {node.host.title()}")

    def _welcome(self) -> None:
        """Start a thread for each node that is idle and could do something, but for no more than there are jobs."""
        starting = sum(hand.is_starting() for hand in self._hands.values())
        for node in self._nodes:
            if starting >= len(self._waiting):
                return
            hand = self._hands.get(node.place)
            if (hand is None or not hand.is_alive()) and self._wanted(node):
                self._hands[node.place] = hand = _Hand(self, node)
                hand.start()
                starting += 1

    def _wanted(self, node: Node) -> bool:
        """Whether there is something for a node to do."""
        with self._changed:
            return self._goes_on() and self._next(node) is not None

    def _goes_on(self) -> bool:
        return self._error is None and not self._halt.asked.is_set()

    def _next(self, node: Node) -> tuple[_Task, Job] | None:
        """The first task that waits and may run on `node`, and its job there. Called with the condition held."""
        if node.place not in self._gone:
            for task in self._waiting:
                job = self._placed(task.job, node)
                if isinstance(job, Job):
                    return task, job
        return None

    def _strand(self) -> None:
        """Give up what no node that is left can run. Called with the condition held."""
        if self._running:
            return
        able = [node for node in self._nodes if node.place not in self._gone]
        for task in list(self._waiting):
            if any(isinstance(self._placed(task.job, node), Job) for node in able):
                continue
            self._give_up(
                task,
                Failure(
                    kind="node",
                    message="no node is left in the cluster that can run it",
                    hint="bring the nodes back (`ray status` lists those there are), then run the spec again",
                ),
            )

    def _give_up(self, task: _Task, why: Failure) -> None:
        self._waiting.remove(task)
        self._results[task.job.id] = result = self._unrun(task.job, why)
        self._listener.job_finished(result)

    def lane(self, node: Node) -> NodeListener:
        """Who hears what happens on a node."""
        return NodeListener(self._listener.lane(node.name))

    def take(self, node: Node) -> tuple[_Task, Job] | None:
        """The next task for a node and its job there; None when there is none."""
        with self._changed:
            found = self._next(node) if self._goes_on() else None
            if found is not None:
                self._waiting.remove(found[0])
                self._running += 1
            return found

    def done(self, hand: _Hand, task: _Task, result: Result, left: int) -> bool:
        """A task has ended; when its node was lost and attempts are left, another node may have it.

        Returns whether the node was lost: it may be that our part there was, and the node can be taken again.
        """
        lost = result.failure is not None and result.failure.kind == "node"
        with self._changed:
            self._running -= 1
            if lost:
                self._losses[hand.node.place] += 1
                if self._losses[hand.node.place] >= LOSSES:
                    hand.listener.notice(f"{hand.node.name} was lost {LOSSES} times: the run goes on without it")
                    self._gone.add(hand.node.place)
            if lost and left:
                self._listener.notice(f"{result.job.id} failed: {_why(result)}; trying elsewhere ({left} left)")
                self._waiting.insert(0, _Task(job=task.job, number=task.number, more=left - 1))
            else:
                self._results[task.job.id] = result
                hand.listener.job_finished(result)
            self._changed.notify_all()
        return lost

    def failed(self, error: BaseException) -> None:
        """A thread has ended with an error that ends the run."""
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()

    def work(self, hand: _Hand) -> None:
        """What a node's thread does: it takes the node, and again when it was lost, while there is work for it."""
        node = hand.node
        while self._wanted(node):
            try:
                engine = self._cluster.take(node, hand.listener.notice, lambda: self._wanted(node))
            except EngineError as error:
                hand.listener.notice(f"the run goes on without {node.name}: {error.message} ({error.hint})")
                with self._changed:
                    self._gone.add(node.place)
                return
            if engine is None:
                return
            hand.engine = engine
            self._use(hand, engine)
            hand.give_back()

    def _use(self, hand: _Hand, engine: NodeEngine) -> None:
        """Run jobs on a node until there is none left for it, or it is lost or spent."""
        runner = self._make_runner(engine, hand.listener, OnNode(self._store, engine), self._halt)
        lost = False
        while not lost and not engine.spent and (taken := self.take(hand.node)) is not None:
            task, job = taken
            try:
                result, left = runner.run_one(job, task.number, self._total, task.more)
            except BaseException:
                with self._changed:
                    self._running -= 1
                raise
            hand.listener.measuring = False
            lost = self.done(hand, task, result, left)

    def _stop(self) -> None:
        """A person wants to stop: end what is measured gently, and what is prepared at once; a second time, all."""
        self._halt.asked.set()
        with self._changed:
            self._changed.notify_all()
        hands = list(self._hands.values())
        try:
            for hand in hands:
                if not hand.listener.measuring:
                    hand.give_back()
            for hand in hands:
                while hand.is_alive():
                    hand.join(TICK)
        except KeyboardInterrupt:
            self._halt.insisted.set()

    def _disband(self) -> None:
        """Give all nodes back. Whoever still runs loses his, and ends."""
        self._halt.asked.set()
        for hand in self._hands.values():
            hand.give_back()
        deadline = time.monotonic() + PARTING_SECONDS
        for hand in self._hands.values():
            hand.join(max(0.0, deadline - time.monotonic()))
        self._hands.clear()
        self._halt.asked.clear()


class _Hand(threading.Thread):
    """The thread of one node."""

    def __init__(self, crew: Crew, node: Node) -> None:
        super().__init__(name=node.name, daemon=True)
        self.node = node
        self.listener = crew.lane(node)
        self.engine: NodeEngine | None = None
        self._crew = crew
        self._began = time.monotonic()

    def is_starting(self) -> bool:
        """Whether it may have its node soon: one that somebody else has can take hours."""
        return self.engine is None and self.is_alive() and time.monotonic() < self._began + STARTING_SECONDS

    def run(self) -> None:
        try:
            self._crew.work(self)
        except BaseException as error:  # noqa: BLE001  (handed over to the main thread, which raises it)
            self._crew.failed(error)
        finally:
            self.give_back()
            self.listener.close()

    def give_back(self) -> None:
        """Let go of the node."""
        engine, self.engine = self.engine, None
        if engine is not None:
            engine.close()


def _why(result: Result) -> str:
    return result.failure.message if result.failure else ""
