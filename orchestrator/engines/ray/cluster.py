"""The ray engine: nodes of a Ray cluster, each running jobs with an engine of its own.

Ray is imported here, in connection.py, losses.py and taken.py, and nowhere else.

A run takes a node with an actor that asks for all its CPUs and GPUs, so that nothing else of that cluster is scheduled
beside what is measured; each job is one of its tasks. Ray retries nothing: otherwise the output of a lost attempt and
of the next one would look like one stream. What the actor does is in node.py.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.engines.base import EngineError
from orchestrator.engines.hosts import Node
from orchestrator.engines.ray import connection
from orchestrator.engines.ray.losses import headless, losses
from orchestrator.engines.ray.messages import NodeMessage
from orchestrator.engines.ray.node import Worker, describe
from orchestrator.engines.ray.taken import RayNode
from orchestrator.engines.registration import AUTO, Setup
from orchestrator.errors import OrchestratorError
from orchestrator.text import printable

_log = logging.getLogger(__name__)

SURVEY_SECONDS = 60.0  # for a node to describe itself; a worker process has to start there first


def connect(setup: Setup, *, survey_seconds: float = SURVEY_SECONDS) -> RayCluster:
    """The cluster at `setup.address`, joined or started as `connection.join` says. Raises HostError."""
    if connection.join(setup.address, setup.root) and setup.address == AUTO:
        _log.warning("no Ray cluster was found, so one is started on this machine for this run (docs/cluster.md)")
    return RayCluster(setup, survey_seconds)


class RayCluster:
    """The cluster that this process has joined; meets base.Engine."""

    name = "ray"
    local = False

    def __init__(self, setup: Setup, survey_seconds: float) -> None:
        self._survey_seconds = survey_seconds
        self._own_engine = (setup.node_engine, dict(setup.pythons))  # what each node's own engine is chosen by
        self._asked: dict[str, Any] = {}  # node → the reference of its description
        self._known: dict[str, Node | None] = {}  # None: it cannot run jobs
        self._resources: dict[str, Mapping[str, float]] = {}

    def facts(self) -> Mapping[str, Any]:
        return {"ray": ray.__version__}

    def nodes(self) -> Sequence[Node]:
        """Those that have described themselves. The first call waits for all; later ones do not wait."""
        alive = {each["NodeID"]: each for each in self._alive()}
        patience = 0.0 if self._known else self._survey_seconds
        with headless():
            for node in alive.keys() - self._known.keys() - self._asked.keys():
                self._asked[node] = _on(describe, node).remote(*self._own_engine)
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
                _log.warning(
                    "node %s has not answered for %.0f s: the run starts without", _name(alive[node]), patience
                )
        return [found for node, found in self._known.items() if found is not None and node in alive]

    def take(self, node: Node, wanted: Callable[[], bool]) -> RayNode | None:
        resources = self._resources[node.id]
        whole = node.share is None
        actor = ray.remote(Worker).options(
            num_cpus=resources["CPU"] if whole else len(node.host.cpus),
            num_gpus=resources.get("GPU", 0) if whole else len(node.host.gpus),
            memory=int(resources.get("memory", 0)) if whole else node.memory or 0,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=4,  # a running job can be ended by another call
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
        )
        with losses(node.name):
            taken = RayNode(node, actor.remote(*self._own_engine))
            if not taken.wait(wanted):
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

    def _described(self, by_ray: Mapping[str, Any], reference: Any) -> Node | None:
        """A node, as Ray and the node itself describe it; None when it cannot run jobs."""
        name = _name(by_ray)
        try:
            with losses(name):
                message: NodeMessage = ray.get(reference)
        except EngineError as error:
            message = NodeMessage(error=error)
        for line in message.log:
            _log.log(line.level, "node %s: %s", name, line.text)
        if message.described is None:
            _log.warning("node %s is left out: %s", name, _words(message.error))
            return None
        node = message.described
        return dataclasses.replace(
            node,
            id=by_ray["NodeID"],
            name=name,
            engine_facts={**node.engine_facts, **self.facts()},
            labels=dict(by_ray.get("Labels") or {}),
            local=False,
        )


def _words(error: OrchestratorError | EngineError | None) -> str:
    if error is None:
        return "it did not describe itself"
    return f"{error.message} ({error.hint})" if error.hint else error.message


def _on(function: Callable[..., Any], node: str) -> Any:
    """`function` as a task of a node, next to the jobs that run there."""
    where = NodeAffinitySchedulingStrategy(node, soft=False)
    return ray.remote(function).options(num_cpus=0, max_retries=0, scheduling_strategy=where)


def _name(by_ray: Mapping[str, Any]) -> str:
    """What the user calls a node: the name it was given, or its machine's. Ray's own default is the address."""
    given = by_ray.get("NodeName")
    own = given and given != by_ray["NodeManagerAddress"]
    return printable(str(given if own else by_ray["NodeManagerHostname"]))
