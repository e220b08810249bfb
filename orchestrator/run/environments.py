"""The environments of a node's jobs, each prepared once."""

from __future__ import annotations

import logging

from orchestrator.engines.base import Environment, TakenNode
from orchestrator.errors import BuildError, HostError, MissingWheelError, OrchestratorError
from orchestrator.plan.catalog import Catalog, Image
from orchestrator.plan.jobs import Job
from orchestrator.run.listener import Lane

_log = logging.getLogger(__name__)


class Environments:
    """Prepares environments on one node."""

    def __init__(self, catalog: Catalog, taken: TakenNode, lane: Lane) -> None:
        self._catalog = catalog
        self._taken = taken
        self._lane = lane
        self._known: dict[tuple[str, str], Environment | OrchestratorError] = {}

    def of(self, job: Job) -> Environment | OrchestratorError:
        """The job's environment, or why there is none. Raises EngineError."""
        _, image = self._catalog.frameworks[job.framework]
        variant = "cuda" if job.device == "gpu" else "cpu"
        key = (image.name, variant)
        if key not in self._known:
            try:
                self._known[key] = self._prepare(image, variant)
            except (BuildError, HostError) as error:
                self._known[key] = error
        return self._known[key]

    def _prepare(self, image: Image, variant: str) -> Environment:
        self._lane.preparing(f"environment {image.name} ({variant})")
        try:
            return self._taken.prepare(image, variant)
        except MissingWheelError as error:
            if variant != "cpu" or "cuda" not in image.locks:
                raise
            # Some frameworks publish their CPU build on an index of their own. The CUDA build computes the same on a
            # CPU and is only larger; the result records which of them was used.
            reason = error.message.splitlines()[0]
            _log.warning("%s; using its cuda variant. To avoid the large download: %s", reason, error.hint)
            return self._prepare(image, "cuda")
