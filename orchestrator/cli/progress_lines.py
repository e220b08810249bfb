"""The lines in which progress is shown, as wide as the terminal. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from rich.text import Text

from orchestrator.activity import BYTES, Activity
from orchestrator.cli.running_job import RunningJob
from orchestrator.run.cost import in_hours
from orchestrator.text import printable

_GAP = "  "
_BAR = 40  # characters at most
_COARSE = 5  # seconds: no estimate is more exact


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of a line. Where a line is too narrow for all, pieces with the highest rank are left out first."""

    text: str
    rank: int
    style: str = ""


def line(pieces: Iterable[Piece], width: int) -> Text:
    """As many of the pieces as fit into one line."""
    left = [piece for piece in pieces if piece.text]
    while len(left) > 1 and sum(len(piece.text) for piece in left) + len(_GAP) * (len(left) - 1) > width:
        left.remove(max(left, key=lambda piece: piece.rank))
    shown = Text(_GAP).join(Text(piece.text, style=piece.style) for piece in left)
    shown.truncate(width, overflow="ellipsis")
    return shown


def of_job(running: RunningJob, seconds: float, node: str) -> list[Piece]:
    """A job that has run for so many seconds, on a node of this name; the name is empty without a cluster."""
    job = running.job
    return [
        *_of_node(node),
        Piece(text=f"{printable(job.title)} {job.workload}", rank=0, style="bold"),
        Piece(text=f"on {job.device}", rank=7),
        Piece(text=running.state, rank=1),
        Piece(text=running.rate, rank=3, style="cyan"),
        Piece(text=running.loss, rank=6),
        Piece(text=clock(seconds), rank=2),
        Piece(text=about(running.seconds_left()), rank=5, style="dim"),
    ]


def of_preparation(what: str, activity: Activity | None, seconds: float, node: str) -> list[Piece]:
    """What has been prepared for so many seconds, and what is done for it, if that takes long."""
    name = f"preparing {what}" if activity is None else activity.what
    step = "" if activity is None else how_far(activity)
    return [
        *_of_node(node),
        Piece(text=printable(name) + (f": {step}" if step else ""), rank=0),
        Piece(text=clock(seconds), rank=2),
    ]


def of_run(done: int, total: int, seconds: float, left: float | None) -> list[Piece]:
    """A run in which `done` of `total` jobs have ended, that has taken so many seconds, and has about so many left."""
    return [
        Piece(text=f"{done} of {total} job{'s' if total != 1 else ''}", rank=0, style="bold"),
        Piece(text=clock(seconds), rank=1),
        Piece(text=about(left), rank=2, style="dim"),
    ]


def with_bar(pieces: list[Piece], done: float, width: int, *, ascii_only: bool) -> Text:
    """A line with a bar after its first piece, `done` (from 0 to 1) of which is full."""
    first, *others = pieces
    rest = line(others, max(1, width - len(first.text) - len(_GAP)))
    size = min(_BAR, width - len(first.text) - len(rest) - 2 * len(_GAP))
    if size < 1:
        return line(pieces, width)
    full = min(size, int(size * done))
    marks = ("#", ".") if ascii_only else ("━", "─")
    bar = Text.assemble((marks[0] * full, "green"), (marks[1] * (size - full), "dim"))
    return Text(_GAP).join([Text(first.text, style=first.style), bar, rest])


def words(pieces: Iterable[Piece]) -> str:
    """All pieces in a sentence, for a log file."""
    return ", ".join(piece.text for piece in pieces if piece.text)


def how_far(activity: Activity) -> str:
    """`step 3 of 7`, `12 of 162 MB`, or `1,200 of 25,000 reviews`; empty where that is not known."""
    done, total = activity.done, activity.total
    if activity.at:
        return f"{activity.at} {done} of {total}" if done and total else ""
    if activity.unit == BYTES:
        amount, unit = f"{done / 1e6:,.0f}", "MB"
        size = "" if total is None else f"{total / 1e6:,.0f}"
    else:
        amount, unit, size = f"{done:,}", activity.unit, "" if total is None else f"{total:,}"
    return f"{amount} of {size} {unit}" if size else f"{amount} {unit}" if done else ""


def clock(seconds: float) -> str:
    """A time that has passed, to the second: `40 s`, `3 min 05 s`, `1 h 02 min 05 s`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min {rest:02} s"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def about(seconds: float | None) -> str:
    """A time that is still to come: `about 40 s left`. Empty where nothing is known or no second is left."""
    if seconds is None or seconds < 1:
        return ""
    return f"about {in_hours(_COARSE * math.ceil(seconds / _COARSE))} left"


def _of_node(node: str) -> list[Piece]:
    return [Piece(text=printable(node), rank=4, style="dim")] if node else []
