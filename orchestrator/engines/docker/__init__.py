"""The docker engine: an image per framework, a container per job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.engines.registration import Registration, Setup

if TYPE_CHECKING:
    from orchestrator.engines.base import Engine


def _connect(setup: Setup) -> Engine:
    from orchestrator.engines.docker import engine
    from orchestrator.engines.one_node import OneNode

    return OneNode(engine.connect(setup.cache), cache=setup.cache)


ENGINE = Registration(name="docker", connect=_connect, priority=20, starts_children=False)
