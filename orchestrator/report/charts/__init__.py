"""Rows of a table → its charts: a figure each, with the sentence and the numbers that go with it. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from orchestrator.judge.conditions import SAMPLES
from orchestrator.report.charts import accuracy, bars, lines
from orchestrator.report.charts.model import Chart, Grid, Line, Style, style

__all__ = ["Chart", "Grid", "Line", "Style", "of_inference", "of_training", "style"]


def of_training(workload: str, rows: Sequence[Line], source: str) -> list[Chart]:
    """The charts of a training workload; `source` names the published reference and its hardware."""
    rows = [row for row in rows if row.results]
    if not rows:
        return []
    return [
        bars.measured(f"{workload}-time", "Training time", rows, bars.TIME),
        *bars.published(f"{workload}-then", source, rows, "seconds", bars.TIME),
        accuracy.chart(f"{workload}-accuracy", rows),
        lines.losses(f"{workload}-loss", rows),
        lines.throughput(f"{workload}-rate", rows, f"{SAMPLES[workload]}/s"),
        bars.phases(f"{workload}-phases", rows),
    ]


def of_inference(rows: Sequence[Line], source: str) -> list[Chart]:
    """The charts of the inference workload, per device where there are two."""
    charts = []
    for device in ("gpu", "cpu"):
        chosen = [row for row in (_only(row, device) for row in rows) if row.results]
        if chosen:
            charts += [
                bars.measured(f"resnet50-{device}", f"Images per second, {device.upper()}", chosen, bars.RATE),
                *bars.published(f"resnet50-{device}-then", source, chosen, device, bars.RATE),
                lines.batches(f"resnet50-{device}-rate", chosen),
                bars.phases(f"resnet50-{device}-phases", chosen),
            ]
    return charts


def _only(line: Line, device: str) -> Line:
    return dataclasses.replace(line, results=tuple(result for result in line.results if result.job.device == device))
