"""The verdict on a repetition, for a terminal and for programs."""

from __future__ import annotations

import dataclasses
import statistics
from typing import Any

from rich.console import Console
from rich.text import Text

from orchestrator.reproduce import Verdict
from orchestrator.untrusted import printable

STYLES = {"REPRODUCED": "bold green", "CANNOT": "bold yellow"}  # anything else is red


def show(console: Console, job: str, verdict: Verdict) -> None:
    """Print the word, why, the figures it rests on, and what else is to be known."""
    console.print(
        Text.assemble(
            (verdict.word, STYLES.get(verdict.word, "bold red")), f" {printable(job)}: {printable(verdict.why, 1000)}"
        )
    )
    for title, times in (("stored", verdict.stored), ("here", verdict.here)):
        if times:
            console.print(Text(f"  {title:6}  {_times(times)}"))
    if verdict.accuracy:
        console.print(
            Text("  accuracy {:.2f} % stored, {:.2f} % here".format(*(100 * each for each in verdict.accuracy)))
        )
    for note in verdict.notes:
        console.print(Text(f"  {printable(note, 1000)}", style="dim"))


def as_json(job: str, verdict: Verdict, run: str | None) -> dict[str, Any]:
    """The same as plain values; `run` is where the repeats are stored."""
    return {"schema_version": 1, "job": job, "run": run, **dataclasses.asdict(verdict)}


def _times(times: tuple[float, ...]) -> str:
    shown = f"{statistics.median(times):.4g} s"
    return shown if len(times) == 1 else f"{shown}, median of {len(times)}, from {min(times):.4g} to {max(times):.4g}"
