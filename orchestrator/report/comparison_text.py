"""A comparison as text for a terminal, and as plain values for JSON."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from orchestrator.judge.comparison import ComparedCell, Comparison, Difference, Side
from orchestrator.judge.stats import Interval
from orchestrator.plan.workloads import WORKLOADS
from orchestrator.report import quantities, terminal
from orchestrator.report.table import Column
from orchestrator.text import MAX_NOTE, clip

# How the screen writes the words. "cannot": the two are not comparable.
WORDS = {"not comparable": "cannot"}
STYLES = {"slower": "bold red", "faster": "bold green", "same": "green", "undecided": "yellow", "cannot": "dim"}
COLUMNS = (
    Column(title="cell"),
    Column(title="B is"),
    Column(title="time B / A", form="s"),
    Column(title="A", form="s", rank=2),
    Column(title="B", form="s", rank=2),
    Column(title="runs A, B", rank=1),
)
# Facts that decide what is computed, and how fast. Others are only shown on request.
NOTABLE = {
    "image id": "image",
    "lock sha256": "lock",
    "interpreter": "interpreter",
    "Python": "Python",
    "framework version": "framework version",
    "workload code sha256": "workload code",
    "version of this program": "version of this program",
    "NVIDIA driver": "NVIDIA driver",
    "GPUs": "GPUs",
    "number of GPUs": "number of GPUs",
    "GPU power limits": "GPU power limits",
    "CPU": "CPU",
    "CPUs used": "CPUs used",
    "CPU quota": "CPU quota",
    "memory limit": "memory limit",
    "threads": "threads",
}
CODE = re.compile(r"workloads/(.*) sha256")
MAX_CELLS = 4  # that are named where a fact differs


def show(
    console: Console, comparison: Comparison, a: str, b: str, limit: float | None, *, verbose: bool = False
) -> None:
    """Print the verdict on every cell, then reasons, warnings, the limit's verdicts, and what else differs.

    Facts of provenance that hardly decide a verdict are only counted, unless `verbose`.
    """
    console.print(Text.assemble(("A ", "bold"), a, "\n", ("B ", "bold"), b))
    console.print(Text(_summary(comparison.cells), style="bold"))
    console.print()
    rows, left_out = terminal.grid(COLUMNS, list(map(_row, comparison.cells)), console.width, _styled)
    console.print(rows)
    console.print()
    console.print(
        Text("Medians; the time of the whole training, or per image of inference; 95 % intervals", style="dim")
    )
    if left_out:
        console.print(
            Text(f"Left out to fit: {', '.join(left_out)}. A wider terminal or --json shows them.", style="dim")
        )
    for (word, why), cells in _reasons(comparison.cells).items():
        console.print(Text.assemble((word, STYLES[word]), f": {_listed(cells)}: {why}"))
    for warning in comparison.warnings:
        console.print(Text(warning, style="yellow"))
    if limit is not None:
        for (judgement, style), cells in _judgements(comparison.cells, limit).items():
            console.print(Text(f"{judgement}: {', '.join(cells)}", style=style))
    _show_differences(console, comparison, verbose=verbose)


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


def _summary(cells: Sequence[ComparedCell]) -> str:
    """How many cells have each word."""
    counts = Counter(map(_word, cells))
    words = [f"{word} in {counts[word]}" for word in STYLES if counts[word] and word != "cannot"]
    if counts["cannot"]:
        words.append(f"not comparable in {counts['cannot']}")
    return f"B is {', '.join(words)} of {len(cells)} cell{'' if len(cells) == 1 else 's'}"


def _word(cell: ComparedCell) -> str:
    return WORDS.get(cell.word, cell.word)


def _row(cell: ComparedCell) -> tuple[str, ...]:
    runs = ", ".join(str(len(side.times)) if side else "–" for side in (cell.a, cell.b))
    ratio = quantities.times(cell.ratio) if cell.ratio else "–"
    return cell.name, _word(cell), ratio, _figures(cell, cell.a), _figures(cell, cell.b), runs


def _figures(cell: ComparedCell, side: Side | None) -> str:
    """The median time or rate of a side, and its score."""
    found = side.summary if side else None
    if side is None or found is None:
        return "–"
    workload = WORKLOADS[cell.workload]
    time = quantities.seconds(found.median) if workload.trains else quantities.rate(1 / found.median, workload.samples)
    return ", ".join(part for part in (time, side.score) if part)


def _styled(column: Column, text: str) -> Text:
    """A cell of the table: the words have colours."""
    return Text(text, style=STYLES.get(text, "") if column.title == "B is" else "")


def _reasons(cells: Sequence[ComparedCell]) -> dict[tuple[str, str], list[str]]:
    """The word and the reason of cells that have no verdict → their names."""
    found: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        if cell.why:
            found.setdefault((_word(cell), cell.why), []).append(cell.name)
    return found


def _judgements(cells: Sequence[ComparedCell], limit: float) -> dict[tuple[str, str], list[str]]:
    """The verdict of a limit, with its style → the names of the cells that have it."""
    words = {
        True: (f"more than {100 * limit:.3g} % slower", "bold red"),
        False: (f"not more than {100 * limit:.3g} % slower", "green"),
        None: (f"undecided whether more than {100 * limit:.3g} % slower", "yellow"),
    }
    found: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        key = ("lost", "bold red") if cell.lost else words[cell.slower_than(limit)]
        found.setdefault(key, []).append(cell.name)
    return found


def _show_differences(console: Console, comparison: Comparison, *, verbose: bool) -> None:
    """Print the facts of provenance that differ, one a line: those that may decide a verdict, or all."""
    if not comparison.differences:
        console.print(Text("same environment, code, machine and versions", style="dim"))
        return
    compared = sum(bool(cell.a and cell.b) for cell in comparison.cells)
    shown: dict[str, list[Difference]] = {}
    for number, each in enumerate(comparison.differences):
        if verbose or each.what in NOTABLE:
            shown.setdefault(str(number) if verbose else each.what, []).append(each)
    parts = [each for each in comparison.differences if not verbose and CODE.fullmatch(each.what)]
    lines = [_fact(some, compared) for some in shown.values()]
    if parts:
        names = _listed([found[1] for each in parts if (found := CODE.fullmatch(each.what))])
        cells = tuple(dict.fromkeys(cell for each in parts for cell in each.cells))
        lines.append(f"code of workloads/: {names}{_where(cells, compared)}")
    folded = len(comparison.differences) - sum(map(len, shown.values())) - len(parts)
    console.print(Text("\nWhat else differs (A / B)", style="bold cyan"))
    for line in lines:
        console.print(Padding(Text(line), (0, 0, 0, 2), expand=False))
    if folded:
        more = f"and {folded} more facts" if lines else f"{folded} facts that rarely matter"
        console.print(Padding(Text(f"{more}: --verbose or --json shows them", style="dim"), (0, 0, 0, 2), expand=False))


def _fact(some: Sequence[Difference], compared: int) -> str:
    """A fact that differs: its values on both sides; of several pairs of values, the first."""
    first, *others = some
    more = f" and {len(others)} more pair{'s' if len(others) > 1 else ''}" if others else ""
    cells = tuple(dict.fromkeys(cell for each in some for cell in each.cells))
    name = NOTABLE.get(first.what, first.what)
    return f"{name}: {_short(first.a)} / {_short(first.b)}{more}{_where(cells, compared)}"


def _where(cells: Sequence[str], compared: int) -> str:
    """The cells that a fact concerns, after a space; empty for all."""
    return "" if len(cells) == compared else f" ({_listed(cells)})"


def _listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - MAX_CELLS
    return ", ".join(names[:MAX_CELLS]) + (f" and {more} more" if more > 0 else "")


def _short(fact: str) -> str:
    """A fact with long hexadecimal numbers cut to 7 digits, as git does. JSON has all digits."""
    return clip(re.sub(r"\b(?:sha256:)?([0-9a-f]{7})[0-9a-f]{25,}…?", r"\1", fact), MAX_NOTE)


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
