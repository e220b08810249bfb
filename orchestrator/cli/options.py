"""What the verbs of the command line share: options, the way out, words for wrong ones."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Optional

import typer

from orchestrator.errors import EXIT_INTERRUPTED, UsageError

ROOT = Path(__file__).resolve().parents[2]
EXIT_CODES = """\
Exit codes: 0 all jobs ok, or skipped · 1 some job failed · 2 wrong usage · 3 wrong spec · 4 this host lacks something ·
5 data missing or corrupt · 6 an image could not be built · 7 this checkout is malformed · 8 results cannot be
read or written · 130 interrupted"""
ResultsOption = Annotated[Path, typer.Option("--results", help="folder that holds the runs", metavar="DIR")]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON for a program to read")]
PythonOption = Annotated[
    Optional[list[str]],
    typer.Option("--python", help="process engine: use this interpreter for an image", metavar="IMAGE=PATH"),
]
DEFAULT_RESULTS = ROOT / "results"


@contextlib.contextmanager
def interruptible(command: str) -> Iterator[None]:
    """Turn an interruption into the way to go on: `command`."""
    try:
        yield
    except KeyboardInterrupt:
        typer.secho(f"\ninterrupted; go on with: {command}", fg="yellow", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def python_option(text: str) -> tuple[str, Path]:
    """IMAGE=PATH in its two parts. Raises UsageError."""
    image, equals, path = text.partition("=")
    if not equals or not image or not path:
        raise UsageError(
            f"--python {text}: not of the form IMAGE=PATH", hint="for example --python numpy=/usr/bin/python3"
        )
    return image, Path(path).expanduser().absolute()  # jobs start in another folder
