"""Gives the jobs of a run to the nodes of its engine, and collects their results.

Every node takes the next job that it can run, so a slow node holds up no other; one for which there is none left is
given back. When a node is lost, its job goes to another as far as the job's retries allow; a node that joins gets its
share. Results are stored as they come. A run on this machine is a crew with one node.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from orchestrator import signals
from orchestrator.engines import hosts
from orchestrator.engines.base import Engine, TakenNode
from orchestrator.engines.hosts import Node
from orchestrator.errors import HostError
from orchestrator.plan.jobs import Job
from orchestrator.plan.spec import Spec
from orchestrator.record import fingerprint
from orchestrator.record.provenance import EnvironmentFacts, HostFacts
from orchestrator.record.results import Failure, Provenance, Result
from orchestrator.run.attempt import RunContext, provenance_of
from orchestrator.run.halt import Halt
from orchestrator.run.listener import Lane, Listener, NodeLane
from orchestrator.run.node_worker import JobRunner, NodeWorker, Task
from orchestrator.run.outcome import unrun
from orchestrator.run.runner import Runner

_log = logging.getLogger(__name__)

LOSSES = 2  # of one node until the run goes on without it: once, only this program's part on it may have died


@dataclass(frozen=True, kw_only=True)
class Pauses:
    """How long a crew waits, in seconds."""

    tick: float = 0.25  # between two checks whether Ctrl-C, or the last job, has ended the run
    look: float = 5.0  # between two looks for nodes that have joined
    parting: float = 30.0  # for threads to end that have lost their nodes; without a cluster they may hang forever


PAUSES = Pauses()


def gather(
    engine: Engine,
    run: RunContext,
    *,
    spec: Spec,
    listener: Listener,
    given: Collection[str] = (),
    pauses: Pauses = PAUSES,
) -> Crew:
    """A crew that runs jobs of `spec` on `engine`. For the images in `given` the user gave the environment."""

    def placed(job: Job, node: Node) -> Job | Failure:
        return hosts.placed(job, node, spec, run.catalog.frameworks[job.framework][1], judge=job.image not in given)

    def lost(job: Job, why: Failure) -> Result:
        if engine.local:
            return unrun(run.folder, job, why, provenance_of(run, engine.nodes()[0], job))
        code = fingerprint.of_module(run.code, job.module)
        provenance = Provenance(engine=run.engine, environment=EnvironmentFacts(), code=code, host=HostFacts())
        return unrun(run.folder, job, why, provenance)

    def nodes() -> list[Node]:
        return hosts.places(engine.nodes(), spec)

    return Crew(
        engine, nodes=nodes, placed=placed, runner=partial(Runner, run), unrun=lost, listener=listener, pauses=pauses
    )


class Crew:
    """Runs jobs on all nodes that can run them."""

    def __init__(
        self,
        engine: Engine,
        *,
        nodes: Callable[[], Sequence[Node]],
        placed: Callable[[Job, Node], Job | Failure],
        runner: Callable[[TakenNode, Lane, Halt], JobRunner],
        unrun: Callable[[Job, Failure], Result],
        listener: Listener,
        pauses: Pauses = PAUSES,
    ) -> None:
        """`nodes` finds those there are now, or parts of them.

        `placed` is the job as it runs on a node, or why it cannot run there. `unrun` stores the result of a job that
        no node can run.
        """
        self.engine = engine
        self.make_runner = runner
        self.halt = Halt()
        self.total = 0
        self._find = nodes
        self._placed = placed
        self._unrun = unrun
        self._listener = listener
        self._pauses = pauses
        self._listening = threading.Lock()
        self._changed = threading.Condition()
        self._waiting: list[Task] = []
        self._running = 0
        self._results: dict[str, Result] = {}
        self._nodes: Sequence[Node] = ()  # as of the last look
        self._looked = 0.0
        self._gone: set[str] = set()  # places of nodes that the run goes on without
        self._losses: Counter[str] = Counter()  # by the node's place
        self._workers: dict[str, NodeWorker] = {}  # by the node's place
        self._error: BaseException | None = None

    def run(self, jobs: Sequence[Job], skip: Mapping[str, Failure] = MappingProxyType({})) -> list[Result]:
        """Run `jobs`, in order as far as nodes are free; their results in that order.

        Jobs whose id is in `skip` cannot run on any node: that is their result. An error of a node's thread, such as a
        full disk, is raised here.
        """
        self.total = len(jobs)
        self._listener.planned(jobs)
        self._results.clear()
        self._looked = -self._pauses.look
        self._waiting = [Task(job=job, number=number, retries=job.retries) for number, job in enumerate(jobs, start=1)]
        try:
            for task in [task for task in self._waiting if task.job.id in skip]:
                self._give_up(task, skip[task.job.id])
            while self._goes_on():
                for worker in self._idle_workers():
                    # Ctrl-C interrupts the main thread only. Where there is one node, its work is done in this thread,
                    # so that Ctrl-C ends at once whatever it does: a build, a download, waiting for a GPU.
                    (worker.work if self.engine.local else worker.start)()
                with self._changed:
                    if self._waiting or self._running:
                        self._changed.wait(self._pauses.tick)
        except KeyboardInterrupt:
            self._stop()
            raise
        finally:
            self._disband()
        return [self._results[job.id] for job in jobs]

    def _goes_on(self) -> bool:
        """Whether a job waits or runs. Looks for nodes, and gives up jobs that no node can run any more."""
        if time.monotonic() >= self._looked + self._pauses.look:
            self._look()
            self._looked = time.monotonic()
        with self._changed:
            if self._error is not None:
                raise self._error
            self._strand()
            return bool(self._waiting or self._running)

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
                _log.warning("node %s has joined: %s", node.name, node.host.title())

    def _idle_workers(self) -> list[NodeWorker]:
        """A worker for each node that is idle and could do something, but for no more nodes than there are jobs."""
        starting = sum(worker.is_starting() for worker in self._workers.values())
        found: list[NodeWorker] = []
        for node in self._nodes:
            if starting + len(found) >= len(self._waiting):
                break
            worker = self._workers.get(node.place)
            if (worker is None or not worker.is_alive()) and self.wants(node):
                lane = NodeLane(self._listener.lane(node.lane), self._listening)
                self._workers[node.place] = NodeWorker(self, node, lane)
                found.append(self._workers[node.place])
        return found

    def wants(self, node: Node) -> bool:
        """Whether there is a job for a node to run."""
        with self._changed:
            return self._next(node) is not None

    def waiting_on(self, node: Node) -> list[Job]:
        """The jobs that wait and can run on `node`, as they are there."""
        with self._changed:
            return [job for task in self._waiting if isinstance(job := self._placed(task.job, node), Job)]

    def _next(self, node: Node) -> tuple[Task, Job] | None:
        """The first task that waits and can run on `node`, and its job there. Called with the condition held."""
        if self._error is None and not self.halt.is_set() and node.place not in self._gone:
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
            if not any(isinstance(self._placed(task.job, node), Job) for node in able):
                hint = "bring the nodes back (`ray status` lists those there are), then run the spec again"
                message = "no node is left in the cluster that can run it"
                self._give_up(task, Failure(kind="node", message=message, hint=hint))

    def _give_up(self, task: Task, why: Failure) -> None:
        self._waiting.remove(task)
        self._results[task.job.id] = result = self._unrun(task.job, why)
        with signals.deferred(), self._listening:
            self._listener.job_finished(result)

    def take_task(self, node: Node) -> tuple[Task, Job] | None:
        """The next task for a node and its job there; None when there is none. `finish` or `drop` must follow."""
        with self._changed:
            found = self._next(node)
            if found is not None:
                self._waiting.remove(found[0])
                self._running += 1
            return found

    def drop(self) -> None:
        """A task that was taken has ended without a result, by an error that ends the run."""
        with self._changed:
            self._running -= 1

    def finish(self, worker: NodeWorker, task: Task, result: Result, left: int) -> bool:
        """A task that was taken has ended. If its node was lost and retries are left, another node may run it.

        Returns whether the node was lost: it may be only this program's part there, and the node can be taken again.
        """
        node, failure = worker.node, result.failure
        lost = failure is not None and failure.kind == "node"
        with self._changed:
            self._running -= 1
            if lost:
                self._count_loss(node)
            if failure is not None and lost and left:
                _log.warning("%s failed: %s; trying elsewhere (%d left)", result.job.id, failure.message, left)
                self._waiting.insert(0, Task(job=task.job, number=task.number, retries=left - 1))
            else:
                self._results[task.job.id] = result
                worker.lane.job_finished(result)
            self._changed.notify_all()
        return lost

    def _count_loss(self, node: Node) -> None:
        self._losses[node.place] += 1
        if self._losses[node.place] >= LOSSES:
            _log.warning("%s was lost %d times: the run goes on without it", node.name, LOSSES)
            self._gone.add(node.place)

    def leave_out(self, node: Node, why: str) -> None:
        """A node cannot be taken: the run goes on without it."""
        _log.warning("the run goes on without %s: %s", node.name, why)
        with self._changed:
            self._gone.add(node.place)

    def fail(self, error: BaseException) -> None:
        """A thread has ended with an error that ends the run."""
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()

    def _stop(self) -> None:
        """Ctrl-C: end what is measured gently, and what is prepared at once. A second one ends everything."""
        self.halt.set()
        with self._changed:
            self._changed.notify_all()
        workers = list(self._workers.values())
        for worker in workers:
            if not worker.lane.measuring:
                worker.give_back()
        for worker in workers:
            while worker.is_alive() and not signals.insisted():
                worker.join(self._pauses.tick)

    def _disband(self) -> None:
        """Give all nodes back; threads that still run a job lose its node, and end."""
        self.halt.set()
        for worker in self._workers.values():
            worker.give_back()
        deadline = time.monotonic() + self._pauses.parting
        for worker in self._workers.values():
            worker.join(max(0.0, deadline - time.monotonic()))
        self._workers.clear()
        self.halt.clear()
