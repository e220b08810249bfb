"""Tables → the sections of the HTML report: rows that sort, a key of frameworks, charts. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.judge import disturbances
from orchestrator.plan.jobs import Job
from orchestrator.plan.workload import TrainingWorkload
from orchestrator.record.results import Result
from orchestrator.report import charts, curves
from orchestrator.report.certified import LegendLine, Mark
from orchestrator.report.charts import Chart, Line, Style
from orchestrator.report.curves import Curve
from orchestrator.report.notes import doubts
from orchestrator.report.notices import Measured
from orchestrator.report.published import PublishedStudy, Studies, study_of
from orchestrator.report.table import CellValue, Column, Table
from orchestrator.text import MAX_NAME, MAX_NOTE, clip, plain

Key = tuple[str, str]  # id and start time of a job: unique among the runs of one machine


@dataclass(frozen=True, kw_only=True)
class ShownCell:
    """A table's cell: its text and its sort key. Cells with an empty key always come last."""

    text: str
    key: str


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """A table's row."""

    cell: str  # id of the cell with its provenance
    status: str
    mark: Mark | None
    search: str
    cells: tuple[ShownCell, ...]


@dataclass(frozen=True, kw_only=True)
class Swatch:
    """A framework's name in a key, with its colour and mark."""

    label: str
    row: int
    style: Style


@dataclass(frozen=True, kw_only=True)
class Section:
    """A workload: its table and its charts."""

    id: str
    title: str
    conditions: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    marked: bool  # whether there is a column of marks, the second one
    legend: tuple[LegendLine, ...]  # of the marks
    notes: tuple[str, ...]
    key: tuple[Swatch, ...]
    charts: tuple[Chart, ...]


def of(tables: Sequence[Table], measured: Sequence[Measured], studies: Studies) -> list[Section]:
    """One section per table; a framework has the same style in all of them."""
    kept = {
        key_of(result): each.curves[result.job.id]
        for each in measured
        for result in each.results
        if result.job.id in each.curves
    }
    names = sorted({result.job.framework for each in measured for result in each.results})
    styles = {name: charts.style(number) for number, name in enumerate(names)}
    return [_section(table, kept, styles, studies) for table in tables]


def _section(table: Table, kept: Mapping[Key, Curve], styles: Mapping[str, Style], studies: Studies) -> Section:
    workload = table.results[0][0].job.declaration
    study = study_of(workload.name, studies)
    labels = _labels(table)
    lines = [
        Line(
            row=row,
            label=labels[row],
            style=styles[ended[0].job.framework],
            results=ended,
            curve=kept.get(key_of(ended[0])) or curves.of_epochs(ended[0].figures.epochs),
            published=_published(ended[0].job, study),
        )
        for row, results in enumerate(table.results)
        if (ended := tuple(filter(_has_figures, results)))
    ]
    source = f"{study.title}, measured on {study.hardware}" if study else ""
    if isinstance(workload, TrainingWorkload):
        drawn = charts.of_training(workload, lines, source)
    else:
        drawn = charts.of_inference(workload, lines, source)
    return _framed(workload.name, table, lines, drawn)


def of_hosts(table: Table) -> Section:
    """The section of a table of speeds host by host, which has no charts of its own."""
    return _framed(f"{table.results[0][0].job.workload}-hosts", table, (), ())


def _framed(name: str, table: Table, lines: Sequence[Line], drawn: Sequence[Chart]) -> Section:
    return Section(
        id=name,
        title=table.title,
        conditions=tuple(clip(words, MAX_NOTE) for words in table.conditions),
        columns=tuple(replace(column, title=clip(column.title)) for column in table.columns),
        rows=tuple(_row(f"{name}-{index}", table, index) for index in range(len(table.rows))),
        marked=table.marked,
        legend=tuple(replace(line, meaning=clip(line.meaning, 4 * MAX_NOTE)) for line in table.legend),
        notes=tuple(clip(note, MAX_NOTE) for note in table.notes),
        key=tuple(Swatch(label=line.label, row=line.row, style=line.style) for line in lines),
        charts=tuple(drawn),
    )


def _row(name: str, table: Table, index: int) -> TableRow:
    results = table.results[index]
    return TableRow(
        cell=name,
        status=_status(results),
        mark=table.marks[index],
        search=f"{clip(results[0].job.title)} {results[0].job.framework}".lower(),
        cells=tuple(_cell(column, cell) for column, cell in zip(table.columns, table.rows[index], strict=True)),
    )


def _labels(table: Table) -> list[str]:
    """The labels of rows in charts: the title; if several rows share it, also the conditions in which they differ."""
    words = next(index for index, column in enumerate(table.columns) if column.form)  # columns before the numbers
    titles = [results[0].job.title for results in table.results]
    labels = []
    for title, row in zip(titles, table.rows, strict=True):
        differences = filter(None, map(str, row[1:words])) if titles.count(title) > 1 else ()
        labels.append(clip(plain(" · ".join([title, *differences])), MAX_NAME))
    return labels


def _published(job: Job, study: PublishedStudy | None) -> Mapping[str, float]:
    """The study's figures for a row: samples per second by device, or the training time as "seconds"."""
    row = study.row(job) if study else None
    figures = {"gpu": row.gpu, "cpu": row.cpu, "seconds": row.seconds} if row else {}
    return {name: figure for name, figure in figures.items() if figure is not None}


def _has_figures(result: Result) -> bool:
    """Whether a result has the figures that charts need, as every successful result has."""
    figures = result.figures
    if not result.job.declaration.trains:
        return result.status == "ok" and figures.images_per_s is not None
    needed = [figures.score, figures.train_s]
    return result.status == "ok" and None not in needed and bool(figures.epochs)


def key_of(result: Result) -> Key:
    """The key that identifies a result."""
    return result.job.id, result.began


def _status(results: Sequence[Result]) -> str:
    """The status of a row: "ok", "doubtful", or the status of its first result if no job succeeded."""
    ended = [result for result in results if result.status == "ok"]
    if not ended:
        return results[0].status
    return "doubtful" if any(disturbances.is_disturbed(result) or doubts(result) for result in ended) else "ok"


def _cell(column: Column, cell: CellValue) -> ShownCell:
    text = clip(column.show(cell), MAX_NAME)
    if cell is None:
        return ShownCell(text=text, key="")
    if isinstance(cell, str):
        return ShownCell(text=text, key=text.lower())
    return ShownCell(text=text, key=repr(float(cell)))
