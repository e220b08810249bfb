"""Where jobs execute. An engine is a module meeting the contract in base.py; nothing here interprets an event."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from orchestrator.engines.base import Engine
from orchestrator.errors import HostError
from orchestrator.spec import EngineChoice


def choose(choice: EngineChoice, *, cache: Path, pythons: Mapping[str, Path], notify: Callable[[str], None]) -> Engine:
    """The engine for `choice`; `auto` is docker where a daemon answers, else process.

    `pythons` are interpreters the user names per image, for the process engine only. Raises HostError.
    """
    if choice == "process" or (choice == "auto" and pythons):
        return _process(cache, pythons)
    if pythons:
        raise HostError("--python goes with the process engine", hint="add --engine process, or drop --python")
    from orchestrator.engines import docker

    try:
        return docker.connect()
    except HostError as error:
        if choice == "docker":
            raise
        notify(f"{error.message}; using the process engine")
        return _process(cache, pythons)


def _process(cache: Path, pythons: Mapping[str, Path]) -> Engine:
    from orchestrator.engines import process

    return process.ProcessEngine(cache=cache, pythons=pythons)
