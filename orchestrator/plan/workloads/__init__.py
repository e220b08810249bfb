"""The workloads: one declaration per file of this folder. Adding a workload adds a file; nothing else lists them."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType

from orchestrator.plan.mistakes import Mistake
from orchestrator.plan.workload import Declaration


def _declared(name: str) -> Declaration:
    found: Declaration = importlib.import_module(f"{__name__}.{name}").WORKLOAD
    return dataclasses.replace(found, name=name)


def _listed() -> dict[str, Declaration]:
    found = [_declared(module.name) for module in pkgutil.iter_modules(__path__)]
    return {each.name: each for each in sorted(found, key=lambda each: (each.position, each.name))}


WORKLOADS: Mapping[str, Declaration] = MappingProxyType(_listed())  # in the order of their tables
MISTAKES: Mapping[str, Mistake] = MappingProxyType(
    {name: mistake for each in WORKLOADS.values() for name, mistake in each.mistakes.items()}
)
