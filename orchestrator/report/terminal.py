"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from rich import box
from rich.align import Align
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from orchestrator.record.results import Result
from orchestrator.report import fitting
from orchestrator.report.fitting import GAP, FittedTable
from orchestrator.report.origin import RunOrigin
from orchestrator.report.table import PUBLISHED, Table
from orchestrator.report.verdict import VerdictLine
from orchestrator.text import plain

STYLES = {"answer": "", "caution": "yellow", "danger": "bold red"}  # of the verdict's lines


def show(
    console: Console,
    tables: Iterable[Table],
    results: Iterable[Result],
    origins: Iterable[RunOrigin] = (),
    verdict: Iterable[VerdictLine] = (),
) -> None:
    """Print the verdict, the runs, their tables, then the jobs that were skipped or failed, with the reasons."""
    for line in verdict:
        title = f"{line.title}: " if line.title else ""
        console.print(Text.assemble((title, "bold"), (plain(line.text), STYLES[line.level])))
    for each in origins:
        console.print(Text(plain(each.words), style="dim"))
    for table in tables:
        console.print()
        console.print(_table(table, console.width))
    results = list(results)
    skipped = [result for result in results if result.status == "skipped"]
    failed = [result for result in results if result.failure is not None and result.status != "skipped"]
    for some, how, style in ((skipped, "skipped", "bold yellow"), (failed, "failed", "bold red")):
        if some:
            console.print()
            console.print(Text(f"{len(some)} job{'s' if len(some) > 1 else ''} {how}", style=style))
        for result in some:
            console.print(failure(result))


def failure(result: Result) -> RenderableType:
    """A job that failed or was skipped: its name, the reason, what to do, and the end of its log."""
    reason = result.failure
    if reason is None:
        return Text()
    job = plain(result.job.id)
    if result.status == "skipped":
        head = Text.assemble((f"- {job} ", "bold yellow"), ("skipped", "yellow"), f": {plain(reason.message)}")
    else:
        kind = reason.kind.replace("_", " ")
        head = Text.assemble((f"✗ {job} ", "bold red"), (kind, "red"), f": {plain(reason.message)}")
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
    found = fitting.fitted(table, width)
    absent = [Text(_absent(found.left_out), style="dim")] if found is not None and found.left_out else []
    return Group(
        Text(table.title, style="bold cyan"),
        Text(plain(" · ".join(table.conditions)), style="dim"),
        Text(),
        _list(table) if found is None else _grid(found),
        Text(),
        *absent,
        *legend,
        *notes,
    )


def _grid(found: FittedTable) -> RenderableType:
    grid = RichTable(
        box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, GAP - 1, 0, 0), header_style="bold"
    )
    for column, head, width in zip(found.columns, found.heads, found.widths, strict=True):
        side: Literal["left", "right"] = "right" if column.form else "left"
        grid.add_column(
            Align(Text(head, justify=side), side, vertical="bottom"),
            justify=side,
            style="dim" if column.rank == PUBLISHED else "bold" if column.form else None,
            width=width,
        )
    for row in found.rows:
        grid.add_row(*map(Text, row))
    return grid


def _list(table: Table) -> RenderableType:
    """The rows below each other, for a terminal that is too narrow for columns."""
    lines: list[RenderableType] = []
    for name, *cells in table.texts(plain):
        lines.append(Text(name, style="bold"))
        named = zip(table.heads[1:], cells, strict=True)
        lines += [Padding(Text(f"{plain(column.title)}: {cell}"), (0, 0, 0, 2)) for column, cell in named if cell]
    return Group(*lines)


def _absent(titles: Sequence[str]) -> str:
    return f"Left out to fit: {', '.join(titles)}. A wider terminal shows them, and so does `--format markdown`."
