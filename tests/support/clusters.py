"""Ray clusters on this machine: several nodes, each with processes of its own, behind the loopback interface."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil
import ray
from ray.cluster_utils import Cluster

from orchestrator import files
from orchestrator.engines.base import TakenNode
from orchestrator.engines.hosts import Node
from orchestrator.engines.ray import cluster as ray_engine
from orchestrator.engines.ray.taken import RayNode
from orchestrator.engines.registration import Setup
from orchestrator.plan.jobs import Job
from orchestrator.record.events import Event
from tests.support import engine_cases

HERE = {"node_ip_address": "127.0.0.1"}
NODES = ("alpha", "beta", "gamma")


@contextlib.contextmanager
def cluster(names: Sequence[str] = NODES, cpus: int = 1, **options: Any) -> Iterator[Any]:
    """Nodes of these names, and a head that runs no jobs; yields the cluster, whose nodes can be added and removed."""
    made: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **HERE})
    made.named = {}
    try:
        for name in names:
            add(made, name, cpus, **options)
        made.wait_for_nodes()
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


def add(made: Any, name: str, cpus: int = 1, **options: Any) -> None:
    """One more node."""
    made.named[name] = made.add_node(node_name=name, num_cpus=cpus, object_store_memory=100 << 20, **HERE, **options)


def connect(
    made: Any, root: Path, choice: str = "auto", pythons: Mapping[str, Path] = MappingProxyType({}), **options: float
) -> ray_engine.RayCluster:
    """The engine's own way to join it."""
    setup = Setup(
        root=root, cache=files.default_cache(), pythons=dict(pythons), address=made.address, node_engine=choice
    )
    return ray_engine.connect(setup, **options)


class Changed:
    """A cluster whose nodes a test changes once they are taken."""

    def __init__(self, joined: ray_engine.RayCluster, change: Callable[[RayNode | None], TakenNode | None]) -> None:
        self._joined = joined
        self._change = change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._joined, name)

    def take(self, node: Node, wanted: Callable[[], bool]) -> TakenNode | None:
        return self._change(self._joined.take(node, wanted))


class OnReady(engine_cases.Silent):
    """Does something to the node on which the first job says that it is ready."""

    def __init__(self, then: Callable[[str], object]) -> None:
        super().__init__()
        self._then = [then]  # shared by the lanes of all nodes
        self.node = ""

    def lane(self, node: str) -> OnReady:
        lane = copy.copy(self)
        lane.node = node
        return lane

    def job_event(self, job: Job, event: Event) -> None:
        if event.event == "ready" and self._then:
            self._then.pop()(self.node)


def workers() -> list[psutil.Process]:
    """The processes in which nodes of this test's clusters do their part of runs."""
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if process.is_running() and process.name().startswith("ray::Worker")
    ]
