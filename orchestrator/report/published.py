"""The published tables that every report shows beside its own: results/reference/*.json."""

from __future__ import annotations

from pathlib import Path

import pydantic

from orchestrator.errors import StoreError
from orchestrator.strict import Strict


class TrainingRow(Strict):
    """A row of the training tables: accuracy in percent, time in seconds."""

    framework: str
    title: str
    accuracy: float
    seconds: float
    cudnn: str | None = None


class InferenceRow(Strict):
    """A row of the feature extraction table: images per second."""

    framework: str
    title: str
    gpu: float
    cpu: float


class PublishedStudy(Strict):
    """One published study."""

    schema_version: int
    title: str
    source: str
    hardware: str
    cnn: list[TrainingRow]
    rnn: list[TrainingRow]
    resnet50: list[InferenceRow]

    def training(self, workload: str, framework: str) -> TrainingRow | None:
        """The row of `framework` in the table of `workload` (cnn or rnn)."""
        rows: list[TrainingRow] = getattr(self, workload)
        return next((row for row in rows if row.framework == framework), None)

    def inference(self, framework: str) -> InferenceRow | None:
        """The row of `framework` in the resnet50 table."""
        return next((row for row in self.resnet50 if row.framework == framework), None)


def load(path: Path) -> PublishedStudy:
    """Read one reference file. Raises StoreError."""
    try:
        return PublishedStudy.model_validate_json(path.read_bytes())
    except (OSError, pydantic.ValidationError) as error:
        raise StoreError(f"{path}: cannot be read: {error}", hint="`git checkout results/reference`") from error
