"""Runs → everything the HTML report shows, as plain data. Pure; html.py writes it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.report import cells, charts, curves, notices
from orchestrator.report.charts import Chart, Line, Style
from orchestrator.report.curves import Curve
from orchestrator.report.notices import Measured, Notice
from orchestrator.report.plain import MAX_NAME, MAX_NOTE, clip, plain
from orchestrator.report.reference import Reference
from orchestrator.report.sources import Source, Tree
from orchestrator.report.tables import Cell, Column, Table, doubts, tables
from orchestrator.results import Result

Key = tuple[str, str]  # which job it was, and when: enough among runs of one machine


@dataclass(frozen=True, kw_only=True)
class ShownCell:
    """A table's cell: its text and what it is sorted by (nothing: always last)."""

    text: str
    key: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """A table's row."""

    cell: str  # id of the cell with its provenance
    status: str
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
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    key: tuple[Swatch, ...]
    charts: tuple[Chart, ...]


@dataclass(frozen=True, kw_only=True)
class Failed:
    """Jobs without figures, all for the same reason."""

    jobs: tuple[str, ...]
    status: str
    kind: str
    message: str
    hint: str
    log: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Page:
    """The whole report."""

    title: str
    runs: tuple[cells.Facts, ...]
    warnings: tuple[Notice, ...]
    statuses: tuple[str, ...]
    sections: tuple[Section, ...]
    failures: tuple[Failed, ...]
    cells: tuple[cells.Cell, ...]
    sources: tuple[Source, ...]


def build(measured: Sequence[Measured], reference: Reference, trees: Mapping[str, Tree]) -> Page:
    """The page of some runs; `trees` holds the workload code that is at hand, by fingerprint."""
    results = [result for each in measured for result in each.results]
    kept = {_key(result): each.curves.get(result.job.id, ()) for each in measured for result in each.results}
    styles = {
        name: charts.style(number) for number, name in enumerate(sorted({result.job.framework for result in results}))
    }
    found = [_Workload(table, reference, kept, styles, trees) for table in tables(results, reference)]
    behind = tuple(cell for workload in found for cell in workload.cells)
    shown = {source.id: source for cell in behind for each in cell.provenance for source in each.sources}
    statuses = dict.fromkeys(row.status for workload in found for row in workload.rows)
    return Page(
        title=", ".join(clip(each.run.id) for each in measured[:3]) + (" …" if len(measured) > 3 else ""),
        runs=tuple(_run_facts(each) for each in measured),
        warnings=tuple(notices.of(measured)),
        statuses=tuple(statuses),
        sections=tuple(workload.section() for workload in found),
        failures=tuple(map(_failed, _for_the_same_reason(results))),
        cells=behind,
        sources=tuple(sorted(shown.values(), key=lambda source: source.path)),
    )


class _Workload:
    """One table on its way to a section."""

    def __init__(
        self,
        table: Table,
        reference: Reference,
        kept: Mapping[Key, Curve],
        styles: Mapping[str, Style],
        trees: Mapping[str, Tree],
    ) -> None:
        self._table = table
        self._reference = reference
        self._name = table.results[0][0].job.workload
        self._words = _first_number(table.columns)
        self.rows = [self._row(index) for index in range(len(table.rows))]
        self.cells = [
            cells.cell(row.cell, clip(str(table.rows[index][0])), table.title, table.results[index], trees)
            for index, row in enumerate(self.rows)
        ]
        self._lines = [self._line(index, kept, styles) for index in range(len(table.rows))]

    def section(self) -> Section:
        lines = [line for line in self._lines if line.results]
        published = f"{self._reference.title}, measured on {self._reference.hardware}"
        if self._name == "resnet50":
            drawn = charts.of_inference(lines, published)
        else:
            drawn = charts.of_training(self._name, lines, published)
        return Section(
            id=self._name,
            title=self._table.title,
            conditions=tuple(clip(words, MAX_NOTE) for words in self._table.conditions),
            columns=self._table.columns,
            rows=tuple(self.rows),
            notes=tuple(clip(note, MAX_NOTE) for note in self._table.notes),
            key=tuple(Swatch(label=line.label, row=line.row, style=line.style) for line in lines),
            charts=tuple(drawn),
        )

    def _row(self, index: int) -> Row:
        row, results = self._table.rows[index], self._table.results[index]
        return Row(
            cell=f"{self._name}-{index}",
            status=_status(results),
            search=f"{clip(results[0].job.title)} {results[0].job.framework}".lower(),
            cells=tuple(_cell(column, cell) for column, cell in zip(self._table.columns, row, strict=True)),
        )

    def _line(self, index: int, kept: Mapping[Key, Curve], styles: Mapping[str, Style]) -> Line:
        results = self._table.results[index]
        job = results[0].job
        ended = tuple(filter(_has_figures, results))
        titles = [same[0].job.title for same in self._table.results]
        words = [job.title]
        if titles.count(job.title) > 1:
            words += [str(word) for word in self._table.rows[index][1 : self._words]]
        curve = (kept[_key(ended[0])] or curves.of_epochs(ended[0].figures.epochs)) if ended else ()
        return Line(
            row=index,
            label=clip(plain(" · ".join(words)), MAX_NAME),
            style=styles[job.framework],
            results=ended,
            curve=curve,
            published=self._published(job.framework),
        )

    def _published(self, framework: str) -> Mapping[str, float]:
        if self._name == "resnet50":
            then = self._reference.inference(framework)
            return {"gpu": then.gpu, "cpu": then.cpu} if then else {}
        row = self._reference.training(self._name, framework)
        return {"seconds": row.seconds} if row else {}


def _has_figures(result: Result) -> bool:
    """Whether a result has what charts are made of; one that ended well always has."""
    figures = result.figures
    return result.status == "ok" and None not in (
        (figures.images_per_s,) if result.job.workload == "resnet50" else (figures.accuracy, figures.train_s)
    )


def _key(result: Result) -> Key:
    return result.job.id, result.began


def _status(results: Sequence[Result]) -> str:
    """Of a row: whether it has figures, and whether they are to be trusted."""
    ended = [result for result in results if result.status == "ok"]
    if not ended:
        return results[0].status
    return "doubtful" if any(map(doubts, ended)) else "ok"


def _cell(column: Column, cell: Cell) -> ShownCell:
    text = clip(column.show(cell), MAX_NAME)
    if cell is None:
        return ShownCell(text=text, key="")
    if not column.form:
        return ShownCell(text=text, key=text.lower())
    number = re.match(r"[-+]?[0-9]+(\.[0-9]*)?", text.replace(",", ""))
    return ShownCell(text=text, key=number.group() if number else "")


def _first_number(columns: Sequence[Column]) -> int:
    return next(index for index, column in enumerate(columns) if column.form)


def _run_facts(measured: Measured) -> cells.Facts:
    run = measured.run
    hosts = dict.fromkeys(_host(result) for result in measured.results)
    versions = dict.fromkeys(str(result.provenance.code.get("version", "")) for result in measured.results)
    told = {
        "date": run.began[:16].replace("T", " ") + " UTC",
        "host": "; ".join(hosts),
        "engine": run.engine,
        "spec": " · ".join(part for part in (run.spec.name, run.spec.description) if part),
        "command": " ".join(run.command),
        "jobs": f"{len(measured.results):,} of {len(run.jobs):,} have a result",
        "orchestrator": ", ".join(versions),
    }
    return cells.Facts(
        title=clip(run.id), rows=tuple((name, clip(value, MAX_NOTE)) for name, value in told.items() if value)
    )


def _host(result: Result) -> str:
    host = result.provenance.host
    gpus = [str(gpu.get("name")) for gpu in host.get("gpus", ()) if isinstance(gpu, dict)]
    parts = [host.get("cpu", "unknown CPU"), f"{len(host.get('cpus_used', ()))} CPUs", *gpus, host.get("system")]
    return ", ".join(str(part) for part in parts if part)


def _for_the_same_reason(results: Iterable[Result]) -> Iterable[list[Result]]:
    """The jobs without figures: where one image cannot be built, three jobs and all their repeats say the same."""
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        if result.status != "ok":
            reason = result.failure
            told = (reason.kind, reason.message, reason.hint) if reason else ()
            groups.setdefault((result.job.framework, result.status, *told), []).append(result)
    return groups.values()


def _failed(results: Sequence[Result]) -> Failed:
    """One account of them, with the log of the first."""
    reason = results[0].failure
    return Failed(
        jobs=tuple(clip(result.job.id) for result in results),
        status=results[0].status,
        kind=reason.kind.replace("_", " ") if reason else "",
        message=clip(reason.message, 4 * MAX_NOTE) if reason else "",
        hint=clip(reason.hint, MAX_NOTE) if reason else "",
        log=tuple(clip(line, MAX_NOTE) for line in reason.log) if reason else (),
    )
