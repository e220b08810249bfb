"""Ray clusters on this machine: several nodes, each with processes of its own, behind the loopback interface."""

import contextlib

import psutil
import ray
from ray.cluster_utils import Cluster

from orchestrator import files
from orchestrator.engines.ray import cluster as ray_engine
from orchestrator.engines.registration import Setup
from tests.support import engine_cases

HERE = {"node_ip_address": "127.0.0.1"}
NODES = ("alpha", "beta", "gamma")


@contextlib.contextmanager
def cluster(names=NODES, cpus=1, **options):
    """Nodes of these names, and a head that runs no jobs; yields the cluster, whose nodes can be added and removed."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **HERE})
    made.named = {}
    try:
        for name in names:
            add(made, name, cpus, **options)
        made.wait_for_nodes()
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


def add(made, name, cpus=1, **options):
    """One more node."""
    made.named[name] = made.add_node(node_name=name, num_cpus=cpus, object_store_memory=100 << 20, **HERE, **options)


def connect(made, root, choice="auto", pythons=(), **options):
    """The engine's own way to join it."""
    setup = Setup(
        root=root, cache=files.default_cache(), pythons=dict(pythons), address=made.address, node_engine=choice
    )
    return ray_engine.connect(setup, **options)


class Changed:
    """A cluster whose nodes a test changes once they are taken."""

    def __init__(self, joined, change):
        self._joined = joined
        self._change = change

    def __getattr__(self, name):
        return getattr(self._joined, name)

    def take(self, node, wanted):
        return self._change(self._joined.take(node, wanted))


class OnReady(engine_cases.Silent):
    """Does something to the node on which the first job says that it is ready."""

    def __init__(self, then):
        super().__init__()
        self._then = [then]

    def lane(self, node):
        lane = OnReady(None)
        lane._then, lane.node = self._then, node
        return lane

    def job_event(self, job, event):
        if event.event == "ready" and self._then:
            self._then.pop()(self.node)


def workers():
    """The processes in which nodes of this test's clusters do their part of runs."""
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if process.is_running() and process.name().startswith("ray::Worker")
    ]
