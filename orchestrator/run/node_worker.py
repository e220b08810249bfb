"""What is done on one node: it is taken, runs jobs until there are none left for it, and is given back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from orchestrator.engines.base import EngineError, TakenNode
from orchestrator.engines.hosts import Node
from orchestrator.plan.jobs import Job
from orchestrator.record.results import Result
from orchestrator.run.listener import NodeLane

if TYPE_CHECKING:
    from orchestrator.run.crew import Crew

STARTING_SECONDS = 5.0  # within which a node can usually be taken; after that the crew tries another one, too


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """A job that waits for a node."""

    job: Job
    number: int
    retries: int  # attempts after the next


class JobRunner(Protocol):
    """Runs jobs on a node that was taken; see runner.Runner."""

    def prepare(self, jobs: Iterable[Job]) -> None:
        """Prepare all environments of `jobs`."""

    def run_job(self, job: Job, number: int, total: int, retries: int) -> tuple[Result, int]:
        """Run a job; its result, and how many retries are left."""


class NodeWorker:
    """Runs a crew's jobs on one node, in a thread of its own unless `work` is called."""

    def __init__(self, crew: Crew, node: Node, lane: NodeLane) -> None:
        self.node = node
        self.lane = lane
        self._crew = crew
        self._taken: TakenNode | None = None
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=node.name, daemon=True)

    def start(self) -> None:
        """Work in a thread. An error that ends the run is handed to the crew."""
        self._thread.start()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def is_starting(self) -> bool:
        """Whether its node may be taken soon. One that another run has can take hours."""
        return self._taken is None and self.is_alive() and time.monotonic() < self._began + STARTING_SECONDS

    def join(self, seconds: float) -> None:
        """Wait at most so long for the thread, if it was started, to end."""
        if self.is_alive():
            self._thread.join(seconds)

    def _run(self) -> None:
        try:
            self.work()
        except BaseException as error:  # noqa: BLE001  (handed over to the main thread, which raises it)
            self._crew.fail(error)

    def work(self) -> None:
        """Take the node and run jobs on it until there are none left for it; take it again when it was lost."""
        crew, node = self._crew, self.node
        try:
            while crew.wants(node):
                taken = self._take()
                if taken is None:
                    return
                runner = crew.make_runner(taken, self.lane, crew.halt)
                if node.local:
                    runner.prepare(crew.waiting_on(node))
                lost = False
                while not lost and not taken.spent and (next_ := crew.take_task(node)) is not None:
                    task, job = next_
                    try:
                        result, left = runner.run_job(job, task.number, crew.total, task.retries)
                    except BaseException:
                        crew.drop()
                        raise
                    self.lane.measuring = False
                    lost = crew.finish(self, task, result, left)
                self.give_back()
        finally:
            self.give_back()
            self.lane.close()

    def _take(self) -> TakenNode | None:
        try:
            self._taken = self._crew.engine.take(self.node, lambda: self._crew.wants(self.node))
        except EngineError as error:
            self._crew.leave_out(self.node, f"{error.message} ({error.hint})")
        return self._taken

    def give_back(self) -> None:
        """Let go of the node."""
        taken, self._taken = self._taken, None
        if taken is not None:
            taken.close()
