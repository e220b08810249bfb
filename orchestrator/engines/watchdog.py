"""Ends the jobs of an orchestrator that was killed before it could do so itself.

SIGKILL and the kernel's out-of-memory killer leave no time to clean up. So a small process, in a session of its own,
keeps a clean-up command for every running job, which ends that job. It reads the commands from a pipe. When the
pipe ends, the orchestrator is dead, and the process runs the commands that were not withdrawn.

That process is detached from the orchestrator: Ray kills the children of a process that it ends before that process
itself, and no clean-up command would run. So only the pipe shows whether the watchdog is alive.

This file is also the program that runs in that process; it uses the standard library only.
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

COMMAND_SECONDS = 60  # that a clean-up command may take


class Watchdog:
    """One per engine; its process starts with the first command and ends with the orchestrator."""

    def __init__(self) -> None:
        self._pipe: IO[bytes] | None = None
        self._numbers = itertools.count()
        self._standing: dict[int, Sequence[str]] = {}

    @contextlib.contextmanager
    def cleaning_up(self, argv: Sequence[str]) -> Iterator[None]:
        """While the block runs, `argv` is run if this process dies."""
        number = next(self._numbers)
        self._standing[number] = argv
        self._send({"command": number, "argv": list(argv)})
        try:
            yield
        finally:
            del self._standing[number]
            self._send({"withdrawn": number})

    def _send(self, message: object) -> None:
        if self._pipe is not None:
            try:
                self._pipe.write(_line(message))
            except BrokenPipeError:  # the watchdog was killed
                self._pipe.close()
                self._pipe = None
            else:
                return
        if self._standing:
            self._pipe = _start()
            weakref.finalize(self, self._pipe.close)  # with no command left, the end of the pipe ends the watchdog
            with contextlib.suppress(BrokenPipeError):  # it could not start: the next command tries again
                for number, argv in self._standing.items():
                    self._pipe.write(_line({"command": number, "argv": list(argv)}))


def _start() -> IO[bytes]:
    """Start the process that keeps commands; returns the pipe that it reads them from."""
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
    """Keep the commands in `messages` until the stream ends, then run those that were not withdrawn."""
    commands: dict[int, list[str]] = {}
    for line in messages:
        message = json.loads(line)
        if "command" in message:
            commands[message["command"]] = message["argv"]
        else:
            commands.pop(message["withdrawn"], None)
    for argv in commands.values():
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(argv, stdin=subprocess.DEVNULL, timeout=COMMAND_SECONDS, check=False)


if __name__ == "__main__":
    if os.fork():  # the parent that waits for this process ends here, so the watchdog is not its child
        os._exit(0)
    watch(sys.stdin.buffer)
