"""What the two sides of the ray engine send each other: plain data."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from queue import SimpleQueue
from typing import NamedTuple

import orchestrator
from orchestrator.activity import Activity
from orchestrator.engines.base import EngineError, Environment, Exit, Observations, Output
from orchestrator.engines.hosts import Node
from orchestrator.errors import OrchestratorError
from orchestrator.inputs.job_inputs import Inputs


class LogLine(NamedTuple):
    """What was logged on a node."""

    level: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a job ended on a node."""

    exit: Exit
    observations: Observations | None


@dataclass(frozen=True, kw_only=True)
class NodeMessage:
    """Part of what a node reports while it prepares or runs something."""

    log: tuple[LogLine, ...] = ()
    activity: Activity | None = None  # what the node does now, where that takes long
    error: OrchestratorError | EngineError | None = None  # raised by the orchestrator
    described: Node | None = None  # the node, as its own engine describes it
    environment: Environment | None = None
    inputs: Inputs | None = None
    waited: float | None = None  # the job runs from now on; so many seconds it waited for its turn
    outputs: tuple[Output, ...] = ()
    ended: Ended | None = None


class LogCollector(logging.Handler):
    """Keeps what this program logs in this process, until it is sent."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._lines: SimpleQueue[LogLine] = SimpleQueue()

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.put(LogLine(record.levelno, record.getMessage()))

    def start(self) -> None:
        """Collect from now on."""
        logger = logging.getLogger(orchestrator.__name__)
        logger.addHandler(self)
        logger.setLevel(logging.INFO)

    def stop(self) -> None:
        """Collect no longer."""
        logging.getLogger(orchestrator.__name__).removeHandler(self)

    def take(self) -> tuple[LogLine, ...]:
        """What has been logged since the last call."""
        return tuple(self._lines.get() for _ in range(self._lines.qsize()))
