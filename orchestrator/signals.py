"""Ctrl-C and SIGTERM: the first one ends what is running in order, the second one hurries, the third one kills.

A signal arrives between any two instructions, also within a clean-up. So only the first one ever raises
KeyboardInterrupt by itself, and only outside of `deferred` blocks. All others set a flag; loops that wait look at it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

KILLING = 3  # signals: this one ends the program as if it had no handlers


class _Received:
    """The signals of this process so far, and whether they may raise now."""

    def __init__(self) -> None:
        self.count = 0
        self.deferring = 0  # `deferred` blocks that the main thread is in


_received = _Received()


def install() -> None:
    """Handle signals as above from now on. Call it in the main thread.

    A signal that is ignored stays ignored: shells start programs in the background of a script with SIGINT ignored.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _handle)
    # A terminal that is closed costs the screen and not the run: see docs/reliability.md. Children inherit this.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def ignore() -> None:
    """The program is about to end by itself: no signal may change how."""
    _received.deferring += 1
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not only deferred: when Python ends it puts the system's handlers in the place of its own.
        signal.signal(number, signal.SIG_IGN)
    # A KeyboardInterrupt that leaves an exec(), such as those of dataclasses, makes Python end as if killed by SIGINT,
    # although it was caught later. Another exec() makes it forget that: run_eval_code_obj in CPython's pythonrun.c.
    exec("")  # noqa: S102


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """No signal interrupts the block. A first one that arrives meanwhile is raised by `check`, or when the block ends.

    A block within another one raises nothing at its end: the outer one does.
    """
    if threading.current_thread() is not threading.main_thread():  # no signal interrupts other threads
        yield
        return
    before = _received.count
    _received.deferring += 1
    try:
        yield
    finally:
        _received.deferring -= 1
    if not before and not _received.deferring:
        check()


def asked() -> bool:
    """Whether there was a signal: the program is to end."""
    return _received.count > 0


def insisted() -> bool:
    """Whether there was a second signal: the program is to end without waiting for anything."""
    return _received.count > 1


def check() -> None:
    """Raise KeyboardInterrupt if there was a signal."""
    if asked():
        raise KeyboardInterrupt


def _handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    _received.count += 1
    if _received.count >= KILLING:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    elif _received.count == 1 and not _received.deferring:
        raise KeyboardInterrupt
