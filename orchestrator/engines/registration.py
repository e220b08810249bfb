"""Describes an engine. The description stands in the `__init__.py` of the engine's folder.

    ENGINE = Registration(name="toy", connect=_connect, priority=10)

That file imports nothing heavy, because `--help` reads it; `connect` imports what the engine needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.engines.base import Engine

AUTO = "auto"  # the choice that leaves the engine to the registry


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What an engine may need in order to connect."""

    root: Path  # of the project: images/ and workloads/ are in it
    cache: Path
    pythons: Mapping[str, Path] = field(default_factory=dict)  # image → the interpreter that a user gave for it
    address: str = AUTO  # of a cluster
    node_engine: str = AUTO  # which engine runs the jobs on each node of a cluster


@dataclass(frozen=True, kw_only=True)
class Registration:
    """One engine."""

    name: str
    connect: Callable[[Setup], Engine]  # raises HostError, with the reason, where the engine cannot be used
    priority: int | None = None  # `auto` tries higher ones first; None: used only when it is named
    local: bool = True  # jobs run on this machine, and on no other
    takes_interpreters: bool = False  # whether Setup.pythons means something to it
    starts_children: bool = True  # jobs are children of this process and inherit its priority
