"""`rosetta compare`: show for each cell which of two sets of results is faster."""

from __future__ import annotations

import re
from typing import Annotated, Optional

import typer

from orchestrator.cli.options import DEFAULT_RESULTS, JsonOption, ResultsOption
from orchestrator.errors import EXIT_JOBS_FAILED, UsageError

EXIT_CODES = (
    "Exit codes: 0 compared · 1 with --fail-on-slower, a cell is slower than that, or lost · 2, 8 and 70 as elsewhere"
)
AllOption = Annotated[bool, typer.Option("--verbose", "-v", help="show all facts of provenance that differ")]
FailOption = Annotated[
    Optional[str],
    typer.Option(
        help="exit with 1 when a cell of B is certainly slower than A by more than this, or is missing from B",
        metavar="PERCENT",
    ),
]


def command(
    a: Annotated[
        str,
        typer.Argument(
            help="a run, RUN:FRAMEWORK, a result file, a capsule, or a framework of the latest run", metavar="A"
        ),
    ],
    b: Annotated[str, typer.Argument(help="what to compare with it", metavar="B")],
    fail_on_slower: FailOption = None,
    json: JsonOption = False,
    results: ResultsOption = DEFAULT_RESULTS,
    verbose: AllOption = False,
) -> None:
    """Show, cell by cell, whether B is slower than A, faster, the same or not comparable, and what differs.

    \b
    Examples:
      rosetta compare pytorch tensorflow
      rosetta compare OLD NEW --fail-on-slower 5%
      rosetta compare OLD:numpy NEW:numpy --json
    """
    from orchestrator.cli import selection
    from orchestrator.cli.screen import Screen
    from orchestrator.judge import comparison, stats
    from orchestrator.report import comparison_text

    limit = None if fail_on_slower is None else _per_cent("--fail-on-slower", fail_on_slower)
    before, after = selection.select(results, a), selection.select(results, b)
    found = comparison.compare(before.results, after.results, stats.MARGIN)
    with Screen(verbose=verbose) as screen:
        for each in (before, after):
            if each.signed is not None:
                screen.show_signature(each.signed)
        if before.results == after.results:
            screen.warn("A and B have the same results: a run cannot be faster than itself; name two runs")
        if json:
            screen.print_json(comparison_text.as_json(found, before.label, after.label, stats.MARGIN, limit))
        else:
            screen.show_comparison(found, before.label, after.label, limit)
    if limit is not None and any(cell.lost or cell.slower_than(limit) for cell in found.cells):
        raise typer.Exit(EXIT_JOBS_FAILED)


def _per_cent(option: str, text: str) -> float:
    """A percentage such as 5% as a fraction. Raises UsageError."""
    found = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,3})?)\s*%", text.strip())
    if found is None:
        raise UsageError(f"{option} {text}: not a percentage", hint=f"for example {option} 5%")
    return float(found[1]) / 100
