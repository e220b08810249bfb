"""Leases: files that show that a program uses or makes something, and which program that is.

The holder keeps the file locked. The kernel ends the lock together with the holder, however that ends. So a lease never
outlives its holder, and needs no time limit: a program that is suspended still has what it uses.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import fcntl
import logging
import os
import platform
import secrets
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from orchestrator import signals
from orchestrator.errors import HostError, OrchestratorError
from orchestrator.files import cache_error
from orchestrator.text import printable

_log = logging.getLogger(__name__)

WAIT_SECONDS = 0.2  # between two tries to get a lease that another program holds
MAX_TEXT = 400  # characters of the text that names a holder
SHARED = "in-use"  # the folder with the leases of all that use a folder


class TakenError(Exception):
    """Another program has the lease; the message says which."""


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lease file `path`, and create it if it is missing.

    Raises TakenError when another program holds it, OSError when the file cannot be written. Where the file system has
    no locks, as some network file systems, the lease is not protected.
    """
    with path.open("a+b") as file:
        _lock(file.fileno(), path)
        file.truncate(0)
        file.write(_description().encode("utf-8", "backslashreplace"))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


@contextlib.contextmanager
def awaited(path: Path, what: str, *, error: type[OrchestratorError] = HostError) -> Iterator[None]:
    """Hold the lease file `path`. While another program holds it, log which one uses `what`, and wait.

    Raises `error` when the file cannot be written. What is complete needs no lease: look for it before.
    """
    with contextlib.ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _wait(stack, path, what)
        except OSError as problem:
            raise cache_error(error, path, problem) from problem
        yield


def _wait(stack: contextlib.ExitStack, path: Path, what: str) -> None:
    holder_seen = ""
    while True:
        try:
            stack.enter_context(held(path))
        except TakenError as error:
            if str(error) != holder_seen:  # also when the next one of several has it
                holder_seen = str(error)
                _log.warning("waiting for %s, in use by %s", what, holder_seen)
            signals.check()  # the signals of the program may be deferred now
            time.sleep(WAIT_SECONDS)
        else:
            return


@contextlib.contextmanager
def shared(folder: Path) -> Iterator[None]:
    """Show during the block that this program uses what lies in `folder`, as others may at the same time.

    Nothing is shown where `folder` cannot be written: then no program of this user can remove anything from it either.
    """
    path = folder / SHARED / f"{os.getpid()}-{secrets.token_hex(4)}.lease"
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(held(path))
            stack.callback(path.unlink, missing_ok=True)
        yield


def users(folder: Path) -> list[str]:
    """The programs that use what lies in `folder`, in words. Leases of programs that have ended are removed."""
    found = []
    for path in sorted((folder / SHARED).glob("*.lease")):
        if (text := holder(path)) is not None:
            found.append(text)
        else:
            with contextlib.suppress(OSError):
                path.unlink()
    return found


def holder(path: Path) -> str | None:
    """The program that holds a lease, in words; None if none does, or if the file cannot be read."""
    try:
        with path.open("rb") as file:
            _lock(file.fileno(), path, fcntl.LOCK_SH)
    except TakenError as error:
        return str(error)
    except OSError:
        return None
    return None


def _lock(descriptor: int, path: Path, kind: int = fcntl.LOCK_EX) -> None:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(descriptor, MAX_TEXT, 0).decode("utf-8", "replace")
        raise TakenError(printable(text, MAX_TEXT) or f"another program, which keeps {path} locked") from None
    except OSError as error:
        if error.errno not in {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}:
            raise


def _description() -> str:
    """This process, for a person."""
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    command = shlex.join(["rosetta", *sys.argv[1:]])
    return f"process {os.getpid()} on {platform.node()}, since {now}: {command}"[:MAX_TEXT]
