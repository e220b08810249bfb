"""A comparison as text for a terminal, and as plain values for JSON."""

from __future__ import annotations

import re
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.judge.comparison import ComparedCell, Comparison, Side
from orchestrator.judge.stats import Interval
from orchestrator.text import MAX_NOTE, clip

STYLES = {"slower": "bold red", "faster": "bold green", "same": "green", "undecided": "yellow", "not comparable": "dim"}


def show(console: Console, comparison: Comparison, a: str, b: str, limit: float | None) -> None:
    """Print how the conditions of A and B differ, then every cell, then reasons, warnings and the limit's verdicts."""
    console.print(Text.assemble(("A ", "bold"), a, "\n", ("B ", "bold"), b))
    if comparison.differences:
        console.print(_differences(comparison))
    else:
        console.print(Text("same environment, code, machine and versions", style="dim"))
    console.print(_cells(comparison))
    for cell in comparison.cells:
        if cell.why:
            console.print(Text(f"{cell.name}: {cell.word}: {cell.why}", style="dim"))
    for warning in comparison.warnings:
        console.print(Text(warning, style="yellow"))
    if limit is not None:
        for cell in comparison.cells:
            console.print(_judgement(cell, limit))


def as_json(comparison: Comparison, a: str, b: str, margin: float, limit: float | None) -> dict[str, Any]:
    """The comparison as plain values: times in seconds, ratios B / A, null for what is missing."""
    return {
        "schema_version": 1,
        "a": a,
        "b": b,
        "margin": margin,
        "limit": limit,
        "differences": [
            {"what": each.what, "a": each.a, "b": each.b, "cells": list(each.cells)} for each in comparison.differences
        ],
        "cells": [
            {
                "name": cell.name,
                "workload": cell.workload,
                "word": cell.word,
                "why": cell.why,
                "ratio": cell.ratio.estimate if cell.ratio else None,
                "interval": _ends(cell.ratio.interval if cell.ratio else None),
                "slower_than_limit": None if limit is None else cell.slower_than(limit),
                "a": _side(cell.a),
                "b": _side(cell.b),
            }
            for cell in comparison.cells
        ],
        "warnings": list(comparison.warnings),
    }


def _differences(comparison: Comparison) -> Table:
    table = _table("What differs besides the figures", "what", "A", "B", "where")
    for each in comparison.differences:
        everywhere = len(each.cells) == len([cell for cell in comparison.cells if cell.a and cell.b])
        table.add_row(
            *map(
                Text, (each.what, _short(each.a), _short(each.b), "everywhere" if everywhere else ", ".join(each.cells))
            )
        )
    return table


def _cells(comparison: Comparison) -> Table:
    table = _table("Times", "cell", "A", "B", "n", "B / A", "B is")
    for cell in comparison.cells:
        sides = [_figures(side) for side in (cell.a, cell.b)]
        repeats = ", ".join(str(len(side.times)) if side else "–" for side in (cell.a, cell.b))
        table.add_row(*map(Text, (cell.name, *sides, repeats, _ratio(cell))), Text(cell.word, style=STYLES[cell.word]))
    table.caption = (
        "Median time of the whole training, or per image of inference; accuracy or loss on the test set; 95 % intervals"
    )
    return table


def _judgement(cell: ComparedCell, limit: float) -> Text:
    if cell.lost:
        return Text(f"{cell.name}: lost: {cell.why}", style="bold red")
    words = {
        True: (f"{cell.name}: more than {100 * limit:.3g} % slower", "bold red"),
        False: (f"{cell.name}: not more than {100 * limit:.3g} % slower", "green"),
        None: (
            f"{cell.name}: undecided whether it is more than {100 * limit:.3g} % slower",
            "yellow",
        ),
    }
    return Text(*words[cell.slower_than(limit)])


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left", title_style="bold cyan")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _figures(side: Side | None) -> str:
    found = side.summary if side else None
    if side is None or found is None:
        return "–"
    return ", ".join(part for part in (f"{found.median:.4g} s", side.score) if part)


def _ratio(cell: ComparedCell) -> str:
    if cell.ratio is None:
        return "–"
    interval = cell.ratio.interval
    return f"{cell.ratio.estimate:.3f}" + (f" ({interval.low:.3f} to {interval.high:.3f})" if interval else "")


def _short(fact: str) -> str:
    """A fact with long hexadecimal numbers cut to 12 digits, as git does. JSON has all digits."""
    return clip(re.sub(r"\b([0-9a-f]{12})[0-9a-f]{20,}…?", r"\1…", fact), MAX_NOTE)


def _side(side: Side | None) -> dict[str, Any] | None:
    if side is None:
        return None
    found = side.summary
    return {
        "framework": side.framework,
        "n": len(side.times),
        "median_s": found.median if found else None,
        "interval_s": _ends(found.interval if found else None),
        "times_s": list(side.times),
        "accuracy": side.accuracy,
        "test_loss": side.test_loss,
    }


def _ends(interval: Interval | None) -> list[float] | None:
    return [interval.low, interval.high] if interval else None
