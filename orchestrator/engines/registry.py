"""Finds the engines: every folder beside this file is one. Nothing else in the program lists them."""

from __future__ import annotations

import importlib
import itertools
import logging
import pkgutil
from typing import TYPE_CHECKING

from orchestrator import engines
from orchestrator.engines.registration import AUTO, Registration, Setup
from orchestrator.errors import HostError, UsageError
from orchestrator.text import did_you_mean

if TYPE_CHECKING:
    from orchestrator.engines.base import Engine

_log = logging.getLogger(__name__)


def registrations() -> list[Registration]:
    """All engines, in the order in which `auto` tries them; those that must be named come last."""
    folders = [module.name for module in pkgutil.iter_modules(engines.__path__) if module.ispkg]
    found: list[Registration] = [importlib.import_module(f"{engines.__name__}.{name}").ENGINE for name in folders]
    return sorted(found, key=lambda each: (each.priority is None, -(each.priority or 0), each.name))


def names() -> list[str]:
    """The words that choose an engine: `auto`, then the name of each."""
    return [AUTO, *(each.name for each in registrations())]


def find(name: str) -> Registration:
    """The engine called `name`. Raises UsageError."""
    for each in registrations():
        if each.name == name:
            return each
    raise UsageError(
        f"no engine is called {name!r}{did_you_mean(name, names())}", hint=f"--engine takes one of {', '.join(names())}"
    )


def is_local(choice: str) -> bool:
    """Whether the engine of this name, or any that `auto` may choose, runs jobs on this machine. Raises UsageError."""
    return choice == AUTO or find(choice).local


def connect(choice: str, setup: Setup) -> Engine:
    """The engine of this name; for `auto` the first, by priority, that can be used. Raises HostError, UsageError."""
    if choice != AUTO:
        chosen = find(choice)
        if setup.pythons and not chosen.takes_interpreters:
            raise _takes_no_interpreters()
        return chosen.connect(setup)
    candidates = [each for each in registrations() if each.priority is not None and each.local]
    if setup.pythons:
        candidates = [each for each in candidates if each.takes_interpreters]
    for candidate, following in itertools.pairwise(candidates):
        try:
            return candidate.connect(setup)
        except HostError as error:
            _log.warning("%s; using the %s engine", error.message, following.name)
    if not candidates:
        raise _takes_no_interpreters()
    return candidates[-1].connect(setup)


def connect_local(choice: str, setup: Setup) -> Engine:
    """The same for a node of a cluster, which runs its jobs itself. Raises HostError, UsageError."""
    if not is_local(choice):
        local = ", ".join(each.name for each in registrations() if each.local)
        raise UsageError(
            f"hosts.engine: the {choice} engine cannot run jobs on a node of a cluster", hint=f"use one of {local}"
        )
    return connect(choice, setup)


def _takes_no_interpreters() -> HostError:
    able = " or ".join(each.name for each in registrations() if each.takes_interpreters and each.local)
    return HostError(f"--python works only with the {able} engine", hint=f"add --engine {able}, or drop --python")
