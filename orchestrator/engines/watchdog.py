"""Ends the jobs of an orchestrator that was killed before it could do so itself.

SIGKILL and the kernel's out-of-memory killer leave no time to clean up. So a small process of its own, in a session of
its own, keeps the last will for every running job: a command that ends it. It reads them from a pipe; the pipe's end
is the orchestrator's death, whatever caused it, and then it carries out what has not been revoked.

This file is also the program that runs in that process, with the standard library alone.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import sys
import weakref
from collections.abc import Iterator, Sequence
from typing import IO

COMMAND_SECONDS = 60  # a command of a will may take


class Watchdog:
    """One per engine; its process starts with the first will and ends with the orchestrator."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count()

    @contextlib.contextmanager
    def will(self, argv: Sequence[str]) -> Iterator[None]:
        """While the block runs, `argv` is executed should this process die."""
        number = next(self._numbers)
        self._tell({"will": number, "argv": list(argv)})
        try:
            yield
        finally:
            self._tell({"revoked": number})

    def _tell(self, message: object) -> None:
        line = json.dumps(message).encode() + b"\n"
        try:
            _pipe(self._alive()).write(line)
        except BrokenPipeError:  # somebody killed it: the next job gets a new one
            self._process = None

    def _alive(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                start_new_session=True,  # Ctrl-C in the terminal is the orchestrator's to handle
            )
            weakref.finalize(self, _dismiss, process)
            self._process = process
        return self._process


def _dismiss(process: subprocess.Popen[bytes]) -> None:
    """Its work is done: without wills the end of the pipe ends it."""
    _pipe(process).close()
    process.wait()


def _pipe(process: subprocess.Popen[bytes]) -> IO[bytes]:
    if process.stdin is None:
        raise ValueError("the watchdog has no pipe")
    return process.stdin


def watch(messages: IO[bytes]) -> None:
    """Keep the wills in `messages` until there are no more, then carry out those that were not revoked."""
    wills: dict[int, list[str]] = {}
    for line in messages:
        message = json.loads(line)
        if "will" in message:
            wills[message["will"]] = message["argv"]
        else:
            wills.pop(message["revoked"], None)
    for argv in wills.values():
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(argv, stdin=subprocess.DEVNULL, timeout=COMMAND_SECONDS, check=False)


if __name__ == "__main__":
    watch(sys.stdin.buffer)
