"""Rows of a table → its charts: each is a figure with a sentence and a table of its numbers. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from orchestrator.plan.workload import InferenceWorkload, TrainingWorkload
from orchestrator.report.charts import bars, lines, score
from orchestrator.report.charts.drawing import Style
from orchestrator.report.charts.model import Chart, Grid, Line, style

__all__ = ["Chart", "Grid", "Line", "Style", "of_inference", "of_training", "style"]


def of_training(workload: TrainingWorkload, rows: Sequence[Line], source: str) -> list[Chart]:
    """The charts of a training workload; `source` names the published reference and its hardware."""
    rows = [row for row in rows if row.results]
    if not rows:
        return []
    return [
        bars.measured(f"{workload.name}-time", "Training time", rows, bars.TIME),
        *bars.published(f"{workload.name}-then", source, rows, "seconds", bars.TIME),
        score.chart(f"{workload.name}-{workload.scoring.name}", rows, workload.scoring),
        lines.losses(f"{workload.name}-loss", rows),
        lines.throughput(f"{workload.name}-rate", rows, f"{workload.samples}/s"),
        bars.phases(f"{workload.name}-phases", rows),
    ]


def of_inference(workload: InferenceWorkload, rows: Sequence[Line], source: str) -> list[Chart]:
    """The charts of an inference workload, per device where there are two."""
    charts, name, unit = [], workload.name, f"{workload.samples}/s"
    rate = dataclasses.replace(bars.RATE, unit=unit, axis=unit)
    for device in ("gpu", "cpu"):
        chosen = [row for row in (_only(row, device) for row in rows) if row.results]
        if chosen:
            charts += [
                bars.measured(
                    f"{name}-{device}", f"{workload.samples.capitalize()} per second, {device.upper()}", chosen, rate
                ),
                *bars.published(f"{name}-{device}-then", source, chosen, device, rate),
                lines.batches(f"{name}-{device}-rate", chosen, unit),
                bars.phases(f"{name}-{device}-phases", chosen),
            ]
    return charts


def _only(line: Line, device: str) -> Line:
    return dataclasses.replace(line, results=tuple(result for result in line.results if result.job.device == device))
