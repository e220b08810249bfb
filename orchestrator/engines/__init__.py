"""Where jobs execute. An engine is a module meeting the contract in base.py; nothing here interprets an event."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from orchestrator.engines.base import Cluster, Engine
from orchestrator.errors import HostError
from orchestrator.plan.spec import LocalChoice


def choose(choice: LocalChoice, *, cache: Path, pythons: Mapping[str, Path], notify: Callable[[str], None]) -> Engine:
    """The engine for `choice`; `auto` is docker where a daemon answers, else process.

    `pythons` are interpreters the user names per image, for the process engine only. Raises HostError.
    """
    if choice == "process" or (choice == "auto" and pythons):
        return _process(cache, pythons)
    if pythons:
        raise HostError("--python goes with the process engine", hint="add --engine process, or drop --python")
    from orchestrator.engines.docker import engine

    try:
        return engine.connect()
    except HostError as error:
        if choice == "docker":
            raise
        notify(f"{error.message}; using the process engine")
        return _process(cache, pythons)


def join(
    address: str, *, root: Path, choice: LocalChoice, pythons: Mapping[str, Path], notify: Callable[[str], None]
) -> Cluster:
    """The cluster at `address` (see ray.connect); `choice` and `pythons` are for the engine of each node.

    Raises HostError.
    """
    try:
        from orchestrator.engines.ray import cluster
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise HostError(
            "the ray engine needs Ray, which is not installed here", hint="pip install -e '.[ray]'"
        ) from error
    return cluster.connect(address, root=root, choice=choice, pythons=pythons, notify=notify)


def _process(cache: Path, pythons: Mapping[str, Path]) -> Engine:
    from orchestrator.engines.process import engine

    return engine.ProcessEngine(cache=cache, pythons=pythons)
