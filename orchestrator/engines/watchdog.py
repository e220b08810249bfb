"""Ends the jobs of an orchestrator that was killed before it could do so itself.

SIGKILL and the kernel's out-of-memory killer leave no time to clean up. So a small process of its own, in a session of
its own, keeps the last will for every running job: a command that ends it. It reads them from a pipe; the pipe's end
is the orchestrator's death, whatever caused it, and then it carries out what has not been revoked.

It is nobody's child: Ray kills the children of a process that it ends before that process itself, and would leave
nobody to carry out a will. So whether it lives is told by the pipe alone.

This file is also the program that runs in that process, with the standard library alone.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import weakref
from collections.abc import Iterator, Sequence
from typing import IO

COMMAND_SECONDS = 60  # a command of a will may take


class Watchdog:
    """One per engine; its process starts with the first will and ends with the orchestrator."""

    def __init__(self) -> None:
        self._pipe: IO[bytes] | None = None
        self._numbers = itertools.count()
        self._standing: dict[int, Sequence[str]] = {}

    @contextlib.contextmanager
    def will(self, argv: Sequence[str]) -> Iterator[None]:
        """While the block runs, `argv` is executed should this process die."""
        number = next(self._numbers)
        self._standing[number] = argv
        self._tell({"will": number, "argv": list(argv)})
        try:
            yield
        finally:
            del self._standing[number]
            self._tell({"revoked": number})

    def _tell(self, message: object) -> None:
        if self._pipe is not None:
            try:
                self._pipe.write(_line(message))
            except BrokenPipeError:  # somebody killed it
                self._pipe.close()
                self._pipe = None
            else:
                return
        if self._standing:
            self._pipe = _start()
            weakref.finalize(self, self._pipe.close)  # without wills the end of the pipe ends it
            with contextlib.suppress(BrokenPipeError):  # it could not start: the next will tries again
                for number, argv in self._standing.items():
                    self._pipe.write(_line({"will": number, "argv": list(argv)}))


def _start() -> IO[bytes]:
    """A process that keeps wills; the pipe that it reads them from."""
    starter = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        start_new_session=True,  # Ctrl-C in the terminal is the orchestrator's to handle
    )
    starter.wait()
    if starter.stdin is None:
        raise ValueError("the watchdog has no pipe")
    return starter.stdin


def _line(message: object) -> bytes:
    return json.dumps(message).encode() + b"\n"


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
    if os.fork():  # whoever started this waits for it, and no longer has the watchdog for a child
        os._exit(0)
    watch(sys.stdin.buffer)
