"""The process engine: a virtual environment per image, a child process per job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.engines.registration import Registration, Setup

if TYPE_CHECKING:
    from orchestrator.engines.base import Engine


def _connect(setup: Setup) -> Engine:
    from orchestrator.engines.one_node import OneNode
    from orchestrator.engines.process.engine import ProcessEngine

    return OneNode(ProcessEngine(cache=setup.cache, pythons=setup.pythons), cache=setup.cache)


ENGINE = Registration(name="process", connect=_connect, priority=10, takes_interpreters=True)
