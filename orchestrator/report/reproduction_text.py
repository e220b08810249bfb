"""The verdicts of `reproduce`, as text for a terminal and as plain values for JSON."""

from __future__ import annotations

import dataclasses
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from orchestrator.judge.reproduction import Answer
from orchestrator.text import printable

STYLES = {"REPRODUCED": "bold green", "CANNOT": "bold yellow"}  # anything else is red


def show(console: Console, answer: Answer) -> None:
    """Print one verdict: its word, the reason, the times that were compared, and notes."""
    job, verdict = answer.job, answer.verdict
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
    if verdict.test_loss:
        console.print(Text("  test loss {:.4f} stored, {:.4f} here".format(*verdict.test_loss)))
    for note in verdict.notes:
        console.print(Text(f"  {printable(note, 1000)}", style="dim"))


def summary(answers: Sequence[Answer]) -> str:
    """How many jobs have each verdict."""
    counts = Counter(answer.verdict.word for answer in answers)
    return f"{len(answers)} jobs: " + ", ".join(f"{count} {word}" for word, count in counts.most_common())


def as_json(answers: Sequence[Answer]) -> dict[str, Any]:
    """The verdicts as plain values. `run` is the run that holds the repeats."""
    return {
        "schema_version": 1,
        "jobs": [
            {
                "job": answer.job,
                "run": None if answer.run is None else answer.run.name,
                **dataclasses.asdict(answer.verdict),
            }
            for answer in answers
        ],
    }


def _times(times: tuple[float, ...]) -> str:
    shown = f"{statistics.median(times):.4g} s"
    return shown if len(times) == 1 else f"{shown}, median of {len(times)}, from {min(times):.4g} to {max(times):.4g}"
