"""Results → one table for each workload. Pure.

What is the same in all rows of a table stands above it; what differs becomes a column.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from orchestrator.judge import stats
from orchestrator.judge.conditions import grouped, machine, split
from orchestrator.plan.workload import Declaration, InferenceWorkload, Scoring, TrainingWorkload
from orchestrator.plan.workloads import WORKLOADS
from orchestrator.record.figures import Figures
from orchestrator.record.results import Result
from orchestrator.report import certified
from orchestrator.report.certified import Known, Mark
from orchestrator.report.notes import expected, notes_of
from orchestrator.report.published import PublishedRow, PublishedStudy, Studies, study_of
from orchestrator.report.table import CellValue, Column, Doubtful, Measurement, Table

RankedRow = tuple[dict[str, str], list[Result]]  # the conditions of a row, and its results
ColumnOfRows = tuple[Column, Callable[[RankedRow], CellValue]]
DEVICES = ("gpu", "cpu")  # in the order of the study's columns


def tables(results: Iterable[Result], studies: Studies, known: Known = certified.NONE) -> list[Table]:
    """One table per workload that occurs in `results`, in the declared order; `known` are all certificates."""
    return [
        _training(workload, some, study_of(name, studies), known)
        if isinstance(workload := WORKLOADS[name], TrainingWorkload)
        else _inference(workload, some, study_of(name, studies), known)
        for name, some in _by_workload(results).items()
    ]


def _by_workload(results: Iterable[Result]) -> dict[str, list[Result]]:
    """The results of each workload that occurs, in the declared order."""
    found: dict[str, list[Result]] = {name: [] for name in WORKLOADS}
    for result in results:
        found[result.job.workload].append(result)
    return {name: some for name, some in found.items() if some}


def host_by_host(results: Iterable[Result]) -> list[Table]:
    """Same framework, different hosts: for each workload that ran on several, a column of speeds for each of them.

    Hosts are told apart by name where a run was made on each host of a cluster, else by what they are: CPU and GPUs.
    """
    found = _by_workload(
        result for result in results if not result.provenance.host.is_empty
    )  # else no host could run it
    return [_speeds(WORKLOADS[name], some) for name, some in found.items() if len(_hosts(some)) > 1]


def _host(result: Result) -> str:
    """What a host is called."""
    return result.job.host or machine(result.provenance.host)


def _hosts(results: Iterable[Result]) -> dict[str, str]:
    """What the hosts of results are called, and what they are."""
    return {_host(result): machine(result.provenance.host) for result in results}


def _by_host(results: Iterable[Result]) -> dict[str, list[Result]]:
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(_host(result), []).append(result)
    return found


def _speeds(workload: Declaration, results: Sequence[Result]) -> Table:
    hosts = _hosts(results)
    rows = _ranked(grouped(results, ignore=("host", "node")))
    shared, varying = split([conditions for conditions, _ in rows])
    columns = [Column(title="DL Library"), *(Column(title=name) for name in varying)]
    columns += [Column(title=f"{workload.samples.capitalize()}/s on {host}", form=",.1f") for host in sorted(hosts)]
    return Table(
        title=f"{workload.title}, host by host",
        conditions=tuple(shared),
        columns=tuple(columns),
        rows=tuple(
            (
                same[0].job.title,
                *(conditions[name] for name in varying),
                *(_measured(found.get(host, ()), _speed) for host in sorted(hosts)),
            )
            for conditions, same in rows
            for found in [_by_host(same)]
        ),
        results=tuple(tuple(same) for _, same in rows),
        notes=tuple(f"{host}: {what}" for host, what in sorted(hosts.items()) if host != what),
        marks=(None,) * len(rows),
    )


def _speed(figures: Figures) -> float | None:
    """Samples per second, of the images or of the training."""
    return figures.images_per_s if figures.images_per_s is not None else figures.train_samples_per_s


def _training(
    workload: TrainingWorkload, results: Sequence[Result], study: PublishedStudy | None, known: Known
) -> Table:
    ranked = _ranked(grouped(results))
    shared, varying = split([conditions for conditions, _ in ranked])
    columns = _training_columns(workload, varying, study, metered=_metered(results))
    marks, notes = _marks_and_notes(results, ranked, varying, study, known)
    return Table(
        title=workload.title,
        conditions=tuple(shared),
        columns=tuple(column for column, _ in columns),
        rows=tuple(tuple(cell(row) for _, cell in columns) for row in ranked),
        results=tuple(tuple(same) for _, same in ranked),
        notes=notes,
        marks=marks,
    )


def _training_columns(
    workload: TrainingWorkload, varying: Sequence[str], study: PublishedStudy | None, *, metered: bool
) -> list[ColumnOfRows]:
    """The columns of a training workload, each with what it shows of a row."""
    scoring, samples = workload.scoring, workload.samples.capitalize()
    columns: list[ColumnOfRows] = [
        *_first_columns(varying),
        (Column(title=scoring.title, form=scoring.form), lambda row: _score(scoring, row[1])),
        (Column(title="Training time (s)", form=".1f"), lambda row: _measured(row[1], _ranking_s)),
        (Column(title=f"{samples}/s", form=",.0f"), lambda row: _measured(row[1], _training_rate)),
    ]
    if metered:
        columns.append((Column(title=f"{samples} per joule", form=",.2f"), lambda row: _efficiency(row[1])))
    if workload.fused_kernel:
        columns.append((Column(title="Fused kernel?"), lambda row: _fused(row[1])))
    if study is not None:
        columns += _published_columns(workload, study)
    return columns


def _published_columns(workload: TrainingWorkload, study: PublishedStudy) -> list[ColumnOfRows]:
    """What a study published of a training workload."""

    def of(row: RankedRow) -> PublishedRow:
        return study.row(workload.name, row[1][0].job.framework) or PublishedRow()

    scoring = workload.scoring
    form = ".0f" if scoring.counted else scoring.form
    columns: list[ColumnOfRows] = [
        (Column(title=f"{study.title} ({scoring.unit})", form=form), lambda row: of(row).score),
        (Column(title=f"{study.title} (s)", form=".0f"), lambda row: of(row).seconds),
    ]
    if workload.fused_kernel:
        columns.append((Column(title=f"{study.title} cuDNN?"), lambda row: of(row).cudnn))
    return columns


def _inference(
    workload: InferenceWorkload, results: Sequence[Result], study: PublishedStudy | None, known: Known
) -> Table:
    """Samples per second; a framework's GPU and CPU results stand in one row, as in the study."""
    devices = [name for name in DEVICES if any(result.job.device == name for result in results)]
    ranked = _ranked(grouped(results, ignore=("device", "batches")), devices[0])
    shared, varying = split([conditions for conditions, _ in ranked])
    columns = _inference_columns(workload, varying, devices, study, metered=_metered(results))
    marks, notes = _marks_and_notes(results, ranked, varying, study, known, devices[0])
    return Table(
        title=workload.title,
        conditions=tuple(shared),
        columns=tuple(column for column, _ in columns),
        rows=tuple(tuple(cell(row) for _, cell in columns) for row in ranked),
        results=tuple(tuple(same) for _, same in ranked),
        notes=notes,
        marks=marks,
    )


def _inference_columns(
    workload: InferenceWorkload,
    varying: Sequence[str],
    devices: Sequence[str],
    study: PublishedStudy | None,
    *,
    metered: bool,
) -> list[ColumnOfRows]:
    """The columns of an inference workload, each with what it shows of a row."""
    samples = workload.samples.capitalize()
    columns = _first_columns(varying)
    for device in devices:
        rate = functools.partial(_rate_on, device)
        columns.append((Column(title=f"{samples}/s {device.upper()}", form=",.1f"), rate))
    if metered:
        columns.append((Column(title=f"{samples} per joule", form=",.2f"), lambda row: _efficiency(row[1])))
    if study is not None:
        for device in DEVICES:
            then = functools.partial(_published_rate, workload, study, device)
            columns.append((Column(title=f"{study.title} {device.upper()}", form=".0f"), then))
    return columns


def _rate_on(device: str, row: RankedRow) -> CellValue:
    on_device = [result for result in row[1] if result.job.device == device]
    return _measured(on_device, lambda figures: figures.images_per_s)


def _published_rate(workload: InferenceWorkload, study: PublishedStudy, device: str, row: RankedRow) -> float | None:
    then = study.row(workload.name, row[1][0].job.framework) or PublishedRow()
    return {"gpu": then.gpu, "cpu": then.cpu}[device]


def _first_columns(varying: Sequence[str]) -> list[ColumnOfRows]:
    """The row's title, and the conditions that are not the same for all rows."""

    def condition(name: str) -> ColumnOfRows:
        return Column(title=name), lambda row: row[0][name]

    return [(Column(title="DL Library"), lambda row: _title(row[1])), *map(condition, varying)]


def _marks_and_notes(
    results: Sequence[Result],
    ranked: Sequence[RankedRow],
    varying: Sequence[str],
    study: PublishedStudy | None,
    known: Known,
    device: str | None = None,
) -> tuple[tuple[Mark | None, ...], tuple[str, ...]]:
    """The mark of each row of `ranked`, which is ranked by its times on `device`; all that stands below the table."""
    labels = [_label(*row, varying) for row in ranked]
    marks = tuple(certified.of_row(same, known) for _, same in ranked)
    times = [_times(same, device) for _, same in ranked]
    notes = notes_of(results, study, list(zip(labels, times, strict=True)))
    return marks, (*certified.legend(zip(labels, marks, strict=True)), *notes)


def _ranked(rows: Sequence[RankedRow], device: str | None = None) -> list[RankedRow]:
    """Rows in the order of their medians (on `device`), the fastest first; at the end those without one."""

    def key(row: RankedRow) -> tuple[bool, float]:
        times = _times(row[1], device)
        return not times, statistics.median(times) if times else 0.0

    return sorted(rows, key=key)


def _times(results: Sequence[Result], device: str | None = None) -> list[float]:
    """What the rows of a table rank by, one value for each successful repeat."""
    return [
        seconds
        for result in results
        if result.status == "ok" and device in {None, result.job.device}
        if (seconds := result.figures.ranking_s) is not None
    ]


def _measured(results: Sequence[Result], figure: Callable[[Any], float | None]) -> CellValue:
    """A figure of the successful results: as it is when there is one, else the median with its interval."""
    values = [value for result in results if result.status == "ok" and (value := figure(result.figures)) is not None]
    if len(values) < 2:
        return values[0] if values else None
    found = stats.summary(values)
    interval = found.interval or stats.Interval(low=found.median, high=found.median)
    return Measurement(median=found.median, low=interval.low, high=interval.high, n=found.n)


def _ranking_s(figures: Figures) -> float | None:
    return figures.ranking_s


def _training_rate(figures: Figures) -> float | None:
    return None if figures.score is None else figures.train_samples_per_s


def _metered(results: Sequence[Result]) -> bool:
    """Whether the energy of any job was measured."""
    return any(_efficiency([result]) is not None for result in results)


def _efficiency(results: Sequence[Result]) -> float | None:
    """Samples per joule of the GPU, the median; None where no energy was measured, which it is on GPUs only."""
    told = [result.telemetry.samples_per_joule for result in results if result.status == "ok" and result.telemetry]
    known = [value for value in told if value is not None]
    return statistics.median(known) if known else None


def _score(scoring: Scoring, results: Sequence[Result]) -> CellValue:
    """The score as it is shown, marked where it is outside the range that real data should give."""
    shown = _measured(results, lambda figures: None if figures.score is None else scoring.shown(figures.score))
    band = expected(results[0])
    if band is None or not isinstance(shown, float | Measurement):
        return shown
    low, high = map(scoring.shown, band)
    return shown if low <= float(shown) <= high else Doubtful(doubtful=shown)


def _title(results: Sequence[Result]) -> str:
    title = results[0].job.title
    if any(result.status == "ok" for result in results):
        return title
    kind = results[0].failure.kind if results[0].failure else results[0].status
    how = "skipped" if results[0].status == "skipped" else "failed"
    return f"{title} ({how}: {kind.replace('_', ' ')})"


def _label(conditions: Mapping[str, str], results: Sequence[Result], varying: Sequence[str]) -> str:
    """The title of a row with what tells it from other rows of that title."""
    return ", ".join([_title(results), *(conditions[name] for name in varying)])


def _fused(results: Sequence[Result]) -> str | None:
    told = [result.start.fused for result in results if result.start and result.start.fused is not None]
    return ("yes" if told[0] else "no") if told else None
