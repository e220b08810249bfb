"""The verdicts of `verify`, as a matrix for a terminal and as plain values for JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.judge import parity
from orchestrator.plan.workloads import MISTAKES
from orchestrator.text import MAX_NOTE, printable
from orchestrator.verify.verifier import VerifiedCell

STYLES = {"certified": "green", "declared": "cyan", "diverges": "bold red", "not run": "yellow"}


def show(console: Console, cells: Sequence[VerifiedCell]) -> None:
    """Print one row per framework, then an explanation of each cell that is not certified."""
    workloads = list(dict.fromkeys(cell.workload for cell in cells))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("Computes the same?", min_width=18)
    for workload in workloads:
        table.add_column(workload)
    for title in dict.fromkeys(cell.title for cell in cells):
        found = {cell.workload: cell for cell in cells if cell.title == title}
        table.add_row(
            Text(printable(title)),
            *(_word(found[workload]) if workload in found else Text("–", style="dim") for workload in workloads),
        )
    console.print(table)
    console.print(Text("largest relative error: losses / scores or features after them", style="dim"))
    for cell in cells:
        for line in _story(cell):
            console.print(line)


def as_json(cells: Sequence[VerifiedCell], run: str) -> dict[str, Any]:
    """The verdicts as plain values. Errors are relative, and null when nothing was compared."""
    return {
        "schema_version": 1,
        "run": run,
        "cells": [
            {
                "framework": cell.framework,
                "workload": cell.workload,
                **cell.parity.model_dump(mode="json"),
                "loss_error": cell.parity.loss_error,
                "at": parity.at(cell.parity),
                "where": parity.where(cell.parity),
                "explained_by": [MISTAKES[name].sentence for name in cell.parity.culprits],
                "allowed": cell.envelope.model_dump(mode="json") if cell.envelope else None,
                "notes": [printable(note, MAX_NOTE) for note in cell.notes],
            }
            for cell in cells
        ],
    }


def _word(cell: VerifiedCell) -> Text:
    """The verdict; below it the step at which the cell exceeded the allowed error, and the largest errors."""
    verdict = cell.parity
    errors = [f"{error:.0e}" for error in (verdict.loss_error, verdict.probe_error) if error is not None]
    figures = " / ".join(errors) if verdict.word != "not run" else ""
    place = f"at {parity.at(verdict)}" if parity.at(verdict) else ""
    lines = [(verdict.word, STYLES[verdict.word]), *((line, "") for line in (place, figures) if line)]
    return Text("\n").join(Text(*line) for line in lines)


def _story(cell: VerifiedCell) -> Iterator[Text]:
    """An explanation of a cell that is not certified: where it differs, and which known mistake has the same effect."""
    verdict = cell.parity
    if verdict.word == "certified":
        return
    title = f"{printable(cell.title)} {cell.workload}"
    yield Text.assemble((f"{title} {verdict.word}", STYLES[verdict.word]), f": {printable(verdict.why, MAX_NOTE)}")
    if verdict.word == "not run":
        return
    if verdict.weights and parity.where(verdict):
        yield Text(f"  {parity.where(verdict)}")
    sentences = [MISTAKES[name].sentence for name in verdict.culprits]
    if sentences:
        yield Text(f"  → the reference gives the same when {', or '.join(sentences)}")
    else:
        hint = "" if verdict.weights else f"; {parity.where(verdict)}"
        yield Text(f"  → no known mistake explains it{hint}")
    for note in cell.notes:
        yield Text(f"  note of the framework: {printable(note, MAX_NOTE)}", style="dim")
