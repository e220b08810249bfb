"""Reads the published tables that reports show next to their own figures: results/reference/*.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic
from pydantic import Field

from orchestrator.errors import StoreError
from orchestrator.plan.jobs import Job
from orchestrator.plan.workloads import WORKLOADS
from orchestrator.strict import Strict


class PublishedRow(Strict):
    """A row of a published table. Values that the table lacks are None."""

    framework: str = ""
    title: str = ""
    settings: dict[str, int | float | str] = Field(default_factory=dict)  # of a job that it can stand beside
    accuracy: float | None = None  # %
    loss: float | None = None  # in the unit of the workload's scoring
    seconds: float | None = None  # of the training
    cudnn: str | None = None  # whether a kernel of cuDNN was used, in the study's words
    gpu: float | None = None  # samples per second of inference, by device
    cpu: float | None = None

    @property
    def score(self) -> float | None:
        """The accuracy or the loss, in the unit of the workload's scoring."""
        return self.accuracy if self.accuracy is not None else self.loss


class PublishedStudy(Strict):
    """One published study: where it was measured, and its tables by workload."""

    title: str
    source: str
    hardware: str
    tables: dict[str, tuple[PublishedRow, ...]]

    def row(self, job: Job) -> PublishedRow | None:
        """The row of the job's framework in the table of its workload; None if it is of other settings."""
        rows = (row for row in self.tables.get(job.workload, ()) if row.framework == job.framework)
        return next((row for row in rows if row.settings.items() <= _numbers(job.settings).items()), None)


def _numbers(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a row can name; stored ones may hold anything."""
    return {name: value for name, value in settings.items() if isinstance(value, int | float | str)}


Studies = Mapping[str, PublishedStudy]  # by the name of their file


def study_of(workload: str, studies: Studies) -> PublishedStudy | None:
    """The study that a workload's declaration names."""
    name = WORKLOADS[workload].published
    return studies.get(name) if name else None


def load(path: Path) -> Studies:
    """Read one reference file, or all of a folder. Raises StoreError."""
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    return {file.stem: _read(file) for file in files}


def _read(path: Path) -> PublishedStudy:
    try:
        content: dict[str, Any] = pydantic.TypeAdapter(dict[str, Any]).validate_json(path.read_bytes())
        tables = {name: content.pop(name) for name in list(content) if name in WORKLOADS}
        content.pop("schema_version", None)
        return PublishedStudy.model_validate_json(pydantic.TypeAdapter(Any).dump_json({**content, "tables": tables}))
    except (OSError, pydantic.ValidationError) as error:
        raise StoreError(
            f"{path}: cannot be read: {error}", hint="`git checkout results/reference`, or install the program again"
        ) from error
