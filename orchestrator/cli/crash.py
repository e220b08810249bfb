"""Crash reports: a file with the details of an unexpected exception, and an error message that names the file."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import shlex
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import typer

import orchestrator
from orchestrator.errors import CrashError, OrchestratorError

_DEBUG = "ROSETTA_DEBUG=1 shows the traceback"


@contextlib.contextmanager
def reported_in(folder: Path) -> Iterator[None]:
    """Write a crash report into `folder` when the block raises an unexpected exception.

    Then raises CrashError.
    """
    try:
        yield
    except (OrchestratorError, typer.Exit, BrokenPipeError):  # BrokenPipeError: the reader of our output has ended
        raise
    except Exception as error:
        raise crashed(folder, error) from error


def crashed(folder: Path, error: Exception) -> CrashError:
    """Write the crash report of `error` into `folder`; return the error that names the file."""
    what = traceback.format_exception_only(error)[-1].strip()
    try:
        path = _write(folder, error)
    except OSError as problem:
        crash = CrashError(f"unexpected {what}; the crash report cannot be written: {problem}", hint=_DEBUG)
    else:
        hint = f"this is a fault of this program: please report it, and attach that file; {_DEBUG}"
        crash = CrashError(f"unexpected {what}; the crash report is {path}", hint=hint)
    crash.__cause__ = error  # main() prints the error without raising it
    return crash


def _write(folder: Path, error: Exception) -> Path:
    """Write the report to a file of its own. Raises OSError."""
    now = datetime.datetime.now(datetime.timezone.utc)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"crash-{now:%Y%m%d-%H%M%S}-{os.getpid()}.txt"
    path.write_text(_report(error, now), encoding="utf-8", errors="backslashreplace")
    return path


def _report(error: Exception, now: datetime.datetime) -> str:
    facts = {
        "time": now.isoformat(timespec="seconds"),
        "version": orchestrator.__version__,
        "command": shlex.join(["orchestrator", *sys.argv[1:]]),
        "folder": str(Path.cwd()),
        "python": f"{sys.version} ({sys.executable})",
        "platform": platform.platform(),
    }
    lines = [f"{name}: {value}\n" for name, value in facts.items()]
    return "".join([*lines, "\n", *traceback.format_exception(error)])
