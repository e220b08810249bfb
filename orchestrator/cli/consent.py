"""Asks before a file from somebody else costs much."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.errors import CostError

if TYPE_CHECKING:
    from orchestrator.run.cost import Cost

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="do not ask, whatever it takes in time and disk")]


def require(cost: Cost, cache: Path, *, yes: bool) -> None:
    """Ask whether to go on if `cost` is much. Raises CostError when the answer is no, or nobody can be asked."""
    if yes or not cost.is_much:
        return
    needed = cost.in_words(cache)
    if not _is_terminal():
        raise CostError(f"this needs {needed}, and there is no terminal to ask at", hint="add --yes to go on")
    if not typer.confirm(f"This needs {needed}. Go on?", err=True):
        raise CostError(f"this needs {needed}: nothing was started", hint="--yes goes on without a question")


def _is_terminal() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))
