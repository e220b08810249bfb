"""The columns of tables, each with the function that computes its cell from the results of a row. Pure."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Sequence
from typing import Any, Literal

from orchestrator.judge import disturbances, stats
from orchestrator.judge.conditions import Row
from orchestrator.plan.workload import InferenceWorkload, Scoring, TrainingWorkload
from orchestrator.record.figures import Figures
from orchestrator.record.results import Result
from orchestrator.report.notes import expected
from orchestrator.report.published import PublishedRow, PublishedStudy
from orchestrator.report.table import PUBLISHED, CellValue, Column, Doubtful, Measurement

ColumnOfRows = tuple[Column, Callable[[Row], CellValue]]
DEVICES = ("gpu", "cpu")  # in the order of the study's columns
DETAIL, RATE = PUBLISHED + 1, PUBLISHED + 2  # ranks: what narrow terminals leave out after the published figures


def training_columns(
    workload: TrainingWorkload, results: Sequence[Result], varying: Sequence[str], study: PublishedStudy | None
) -> list[ColumnOfRows]:
    """The columns of a training workload; `varying` names the conditions that differ between rows."""
    scoring, samples = workload.scoring, workload.samples.capitalize()
    columns: list[ColumnOfRows] = [
        *_first_columns(varying),
        (
            Column(title="Training time (s)", form=".1f", short="Time (s)", sorts="ascending"),
            lambda row: timed(row[1], _ranking_s),
        ),
        (Column(title=f"{samples}/s", form=",.0f", rank=RATE), lambda row: timed(row[1], _training_rate)),
        (
            Column(title=scoring.title, form=scoring.form, short=scoring.short_title),
            lambda row: _score(scoring, row[1]),
        ),
    ]
    if _is_metered(results):
        columns.append(_efficiency_column(samples))
    if workload.fused_kernel:
        columns.append((Column(title="Fused kernel?", short="Fused?", rank=DETAIL), lambda row: _fused(row[1])))
    if study is not None:
        columns += _published_columns(workload, study)
    return columns


def _published_columns(workload: TrainingWorkload, study: PublishedStudy) -> list[ColumnOfRows]:
    """The columns with the figures that a study published for a training workload."""

    def of(row: Row) -> PublishedRow:
        return study.row(row[1][0].job) or PublishedRow()

    scoring = workload.scoring
    form = ".0f" if scoring.counted else scoring.form
    columns: list[ColumnOfRows] = [
        (Column(title=f"{study.title} ({scoring.unit})", form=form, rank=PUBLISHED), lambda row: of(row).score),
        (Column(title=f"{study.title} (s)", form=".0f", rank=PUBLISHED), lambda row: of(row).seconds),
    ]
    if workload.fused_kernel:
        columns.append((Column(title=f"{study.title} cuDNN?", rank=PUBLISHED), lambda row: of(row).cudnn))
    return columns


def inference_columns(
    workload: InferenceWorkload,
    results: Sequence[Result],
    varying: Sequence[str],
    devices: Sequence[str],
    study: PublishedStudy | None,
) -> list[ColumnOfRows]:
    """The columns of an inference workload; `varying` names the conditions that differ between rows."""
    samples = workload.samples.capitalize()
    columns = _first_columns(varying)
    for device in devices:
        rate = functools.partial(_rate_on, device)
        sorts: Literal["", "descending"] = "descending" if device == devices[0] else ""
        columns.append((Column(title=f"{samples}/s {device.upper()}", form=",.1f", sorts=sorts), rate))
    if _is_metered(results):
        columns.append(_efficiency_column(samples))
    if study is not None:
        for device in DEVICES:
            published = functools.partial(_published_rate, study, device)
            columns.append((Column(title=f"{study.title} {device.upper()}", form=".0f", rank=PUBLISHED), published))
    return columns


def _efficiency_column(samples: str) -> ColumnOfRows:
    column = Column(title=f"{samples} per joule", form=",.2f", short=f"{samples}/J", rank=DETAIL)
    return column, lambda row: _efficiency(row[1])


def _rate_on(device: str, row: Row) -> CellValue:
    on_device = [result for result in row[1] if result.job.device == device]
    return timed(on_device, lambda figures: figures.images_per_s)


def _published_rate(study: PublishedStudy, device: str, row: Row) -> float | None:
    row_of_study = study.row(row[1][0].job) or PublishedRow()
    return {"gpu": row_of_study.gpu, "cpu": row_of_study.cpu}[device]


def _first_columns(varying: Sequence[str]) -> list[ColumnOfRows]:
    """The column of titles, and one for each condition that differs between rows."""

    def condition(name: str) -> ColumnOfRows:
        return Column(title=name), lambda row: row[0][name]

    return [(Column(title="DL Library"), lambda row: title_of(row[1])), *map(condition, varying)]


def measured(results: Sequence[Result], figure: Callable[[Any], float | None]) -> CellValue:
    """A figure of the successful results: of several, the median with its interval; of one, its value; else None."""
    values = [value for result in results if result.status == "ok" and (value := figure(result.figures)) is not None]
    if len(values) < 2:
        return values[0] if values else None
    found = stats.summary(values)
    interval = found.interval or stats.Interval(low=found.median, high=found.median)
    return Measurement(median=found.median, low=interval.low, high=interval.high, n=found.n)


def timed(results: Sequence[Result], figure: Callable[[Any], float | None]) -> CellValue:
    """A time or a speed of the undisturbed results. If all were disturbed, of all, marked as doubtful."""
    shown = measured(disturbances.counted(results), figure)
    if isinstance(shown, float | Measurement) and disturbances.all_disturbed(results):
        return Doubtful(doubtful=shown)
    return shown


def _ranking_s(figures: Figures) -> float | None:
    return figures.ranking_s


def _training_rate(figures: Figures) -> float | None:
    return None if figures.score is None else figures.train_samples_per_s


def _is_metered(results: Sequence[Result]) -> bool:
    """Whether the energy of any job was measured."""
    return any(_efficiency([result]) is not None for result in results)


def _efficiency(results: Sequence[Result]) -> float | None:
    """The median of the samples per joule of GPU energy; None if no energy was measured, as on a CPU."""
    values = [
        result.telemetry.samples_per_joule
        for result in disturbances.counted(results)
        if result.telemetry and result.telemetry.samples_per_joule is not None
    ]
    return statistics.median(values) if values else None


def _score(scoring: Scoring, results: Sequence[Result]) -> CellValue:
    """The score in the unit of the table, marked as doubtful if it is outside the expected range."""
    shown = measured(results, lambda figures: None if figures.score is None else scoring.shown(figures.score))
    band = expected(results[0])
    if band is None or not isinstance(shown, float | Measurement):
        return shown
    low, high = map(scoring.shown, band)
    return shown if low <= float(shown) <= high else Doubtful(doubtful=shown)


def title_of(results: Sequence[Result]) -> str:
    """The framework's title; if no result of the row succeeded, with the reason."""
    title = results[0].job.title
    if any(result.status == "ok" for result in results):
        return title
    kind = results[0].failure.kind if results[0].failure else results[0].status
    how = "skipped" if results[0].status == "skipped" else "failed"
    return f"{title} ({how}: {kind.replace('_', ' ')})"


def _fused(results: Sequence[Result]) -> str | None:
    """Whether the framework reported a fused kernel: "yes", "no", or None if it reported nothing."""
    values = [result.start.fused for result in results if result.start and result.start.fused is not None]
    return ("yes" if values[0] else "no") if values else None
