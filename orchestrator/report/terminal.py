"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

from rich import box
from rich.align import Align
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from orchestrator.record.results import Result
from orchestrator.report import failures, fitting
from orchestrator.report.fitting import GAP, FittedTable
from orchestrator.report.origin import RunOrigin
from orchestrator.report.table import PUBLISHED, Column, Table
from orchestrator.report.verdict import VerdictLine
from orchestrator.text import plain

STYLES = {"answer": "", "caution": "yellow", "danger": "bold red"}  # of the verdict's lines
MAX_JOBS = 6  # that are named with a common cause


def show(
    console: Console,
    tables: Iterable[Table],
    results: Iterable[Result],
    origins: Iterable[RunOrigin] = (),
    verdict: Iterable[VerdictLine] = (),
    log_of: Callable[[Result], Path | None] = lambda _: None,
) -> None:
    """Print the verdict, the runs, the tables that have figures, then what was skipped or failed, cause by cause."""
    for line in verdict:
        title = f"{line.title}: " if line.title else ""
        console.print(Text.assemble((title, "bold"), (plain(line.text), STYLES[line.level])))
    for each in origins:
        console.print(Text(plain(each.words), style="dim"))
    for table in tables:
        if any(result.status == "ok" for some in table.results for result in some):
            console.print()
            console.print(_table(table, console.width))
    absent = failures.by_cause(results)
    skipped = [some for some in absent if some[0].status == "skipped"]
    failed = [some for some in absent if some[0].status != "skipped" and some[0].failure is not None]
    for groups, how, style in ((skipped, "skipped", "bold yellow"), (failed, "failed", "bold red")):
        if groups:
            count = sum(map(len, groups))
            console.print()
            console.print(Text(f"{count} job{'s' if count > 1 else ''} {how}", style=style))
        for some in groups:
            console.print(_absence(some))
            if how == "failed" and (log := log_of(some[0])) is not None and log.name not in _hint(some[0]):
                console.print(Text(f"  log: {plain(str(log))}"), soft_wrap=True)  # on one line, to be copied


def _hint(result: Result) -> str:
    return result.failure.hint if result.failure else ""


def failure(result: Result) -> RenderableType:
    """A job that failed or was skipped: its name, the reason, what to do, and the end of its log."""
    return _absence([result])


def _absence(results: Sequence[Result]) -> RenderableType:
    """The jobs that failed or were skipped for the same reason."""
    reason = results[0].failure
    if reason is None:
        return Text()
    jobs = ", ".join(plain(result.job.id) for result in results[:MAX_JOBS])
    if (more := len(results) - MAX_JOBS) > 0:
        jobs += f" and {more} more"
    if results[0].status == "skipped":
        head = Text.assemble((f"- {jobs} ", "bold yellow"), ("skipped", "yellow"), f": {plain(reason.message)}")
    else:
        kind = reason.kind.replace("_", " ")
        head = Text.assemble((f"✗ {jobs} ", "bold red"), (kind, "red"), f": {plain(reason.message)}")
    lines: list[RenderableType] = [head]
    lines += [
        Padding(Text(plain(line), style="dim", overflow="ellipsis", no_wrap=True), (0, 0, 0, 4)) for line in reason.log
    ]
    if reason.hint:
        lines.append(Padding(Text(f"→ {plain(reason.hint)}", style="yellow"), (0, 0, 0, 2)))
    return Group(*lines)


def _table(table: Table, width: int) -> RenderableType:
    legend = [Text(f"{line.symbol}{plain(line.by)}: {plain(line.meaning)}", style="dim") for line in table.legend]
    notes = [Text(plain(note), style="bold yellow" if note.startswith("SYNTHETIC") else "dim") for note in table.notes]
    columns, left_out = grid(table.heads, list(table.texts(plain)), width)
    absent = f"Left out to fit: {', '.join(left_out)}. A wider terminal shows them, and so does `--format markdown`."
    return Group(
        Text(table.title, style="bold cyan"),
        Text(plain(" · ".join(table.conditions)), style="dim"),
        Text(),
        columns,
        Text(),
        *([Text(absent, style="dim")] if left_out else []),
        *legend,
        *notes,
    )


def grid(
    heads: Sequence[Column],
    rows: Sequence[Sequence[str]],
    width: int,
    styled: Callable[[Column, str], Text] = lambda _, text: Text(text),
) -> tuple[RenderableType, tuple[str, ...]]:
    """Rows in columns that fit into `width`, or else below each other; and the titles of columns that are left out."""
    found = fitting.fitted(heads, rows, width)
    return (_list(heads, rows), ()) if found is None else (_grid(found, styled), found.left_out)


def _grid(found: FittedTable, styled: Callable[[Column, str], Text]) -> RenderableType:
    table = RichTable(
        box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, GAP - 1, 0, 0), header_style="bold"
    )
    for column, head, width in zip(found.columns, found.heads, found.widths, strict=True):
        side: Literal["left", "right"] = "right" if column.form else "left"
        table.add_column(
            Align(Text(head, justify=side), side, vertical="bottom"),
            justify=side,
            style="dim" if column.rank == PUBLISHED else "bold" if column.form else None,
            width=width,
        )
    for row in found.rows:
        table.add_row(*map(styled, found.columns, row))
    return table


def _list(heads: Sequence[Column], rows: Sequence[Sequence[str]]) -> RenderableType:
    """The rows below each other, for a terminal that is too narrow for columns."""
    lines: list[RenderableType] = []
    for name, *cells in rows:
        lines.append(Text(name, style="bold"))
        named = zip(heads[1:], cells, strict=True)
        lines += [Padding(Text(f"{plain(column.title)}: {cell}"), (0, 0, 0, 2)) for column, cell in named if cell]
    return Group(*lines)
