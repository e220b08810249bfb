"""Crash reports: a file with the details of an unexpected exception, and an error message that names the file."""

from __future__ import annotations

import contextlib
import datetime
import errno
import os
import platform
import shlex
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import typer

import orchestrator
from orchestrator.errors import CatalogError, CrashError, HostError, OrchestratorError

_DEBUG = "ROSETTA_DEBUG=1 shows the traceback"
_REMEDIES = {  # what the machine or the user's files cause
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free some space there"),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "check the permissions and the owner"),
    errno.EROFS: "use a folder that can be written",
    errno.ENAMETOOLONG: "use a shorter name",
    **dict.fromkeys((errno.ELOOP, errno.ENOTDIR, errno.EISDIR), "check the path"),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "raise the limit of open files (`ulimit -n`)"),
    **dict.fromkeys((errno.EIO, errno.ESTALE), "check the disk, or the connection to it"),
}


@contextlib.contextmanager
def reported_in(folder: Path) -> Iterator[None]:
    """Write a crash report into `folder` when the block raises an unexpected exception.

    Then raises CrashError; or HostError or CatalogError without a report, when the machine or a file is the reason.
    """
    try:
        yield
    except (OrchestratorError, typer.Exit, BrokenPipeError):  # BrokenPipeError: the reader of our output has ended
        raise
    except Exception as error:
        raise crashed(folder, error) from error


def crashed(folder: Path, error: Exception) -> OrchestratorError:
    """The error to show for an unexpected exception.

    If it can be a fault of this program, its crash report is written into `folder`, and the error names that file.
    """
    if (plain := _not_our_fault(error)) is not None:
        plain.__cause__ = error
        return plain
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


def _not_our_fault(error: Exception) -> OrchestratorError | None:
    """An exception that the machine or a file causes, as an error with a remedy; None for any other."""
    if isinstance(error, MemoryError):
        return HostError("this machine has too little free memory", hint=f"end other programs; {_DEBUG}")
    if isinstance(error, UnicodeDecodeError):
        found = error.object[error.start : error.start + 8]
        hint = f"`git status` shows which files of this checkout were changed; {_DEBUG}, and with it the file"
        return CatalogError(f"a file that should be UTF-8 text is not: it holds {found!r}", hint=hint)
    if isinstance(error, OSError) and (remedy := _REMEDIES.get(error.errno or 0)):
        place = f"{error.filename}: " if error.filename is not None else ""
        return HostError(f"{place}{error.strerror}", hint=f"{remedy}; {_DEBUG}")
    return None


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
        "command": shlex.join(["rosetta", *sys.argv[1:]]),
        "folder": str(Path.cwd()),
        "python": f"{sys.version} ({sys.executable})",
        "platform": platform.platform(),
    }
    lines = [f"{name}: {value}\n" for name, value in facts.items()]
    return "".join([*lines, "\n", *traceback.format_exception(error)])
