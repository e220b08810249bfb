"""Rows of a table → its charts: a figure each, with the sentence and the numbers that go with it. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from orchestrator.report.charts import bars, lines
from orchestrator.report.charts.model import Chart, Grid, Line
from orchestrator.report.tables import SAMPLES

__all__ = ["Chart", "Grid", "Line", "of_inference", "of_training"]


def of_training(workload: str, rows: Sequence[Line], published: str) -> list[Chart]:
    """The charts of a training workload; `published` names the reference and its hardware."""
    measured = [row for row in rows if any(result.figures.accuracy is not None for result in row.results)]
    if not measured:
        return []
    unit = f"{SAMPLES[workload]}/s"
    return [
        bars.measured(
            f"{workload}-time", "Training time", "s", measured, lambda result: result.figures.train_s, fastest=min
        ),
        *bars.published(f"{workload}-then", measured, "seconds", "s", published, fastest=min),
        lines.accuracy(f"{workload}-accuracy", measured),
        lines.losses(f"{workload}-loss", measured),
        lines.throughput(f"{workload}-rate", measured, unit),
        bars.phases(f"{workload}-phases", measured),
    ]


def of_inference(rows: Sequence[Line], published: str) -> list[Chart]:
    """The charts of the inference workload, per device where there are two."""
    charts = []
    for device in ("gpu", "cpu"):
        chosen = [row for row in (_only(row, device) for row in rows) if row.results]
        if chosen:
            name = f"Images per second, {device.upper()}"
            rate = bars.measured(
                f"resnet50-{device}", name, "images/s", chosen, lambda result: result.figures.images_per_s, fastest=max
            )
            charts += [
                rate,
                *bars.published(f"resnet50-{device}-then", chosen, device, "images/s", published, fastest=max),
                lines.batches(f"resnet50-{device}-rate", chosen),
                bars.phases(f"resnet50-{device}-phases", chosen),
            ]
    return charts


def _only(line: Line, device: str) -> Line:
    chosen = tuple(r for r in line.results if r.job.device == device and r.figures.images_per_s is not None)
    return dataclasses.replace(line, results=chosen)
