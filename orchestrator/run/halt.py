"""Tells threads that the user has stopped the run."""

from __future__ import annotations

import threading


class Halt:
    """Set by the main thread, the only one that a signal interrupts; the threads of nodes look at it."""

    def __init__(self) -> None:
        self.asked = threading.Event()  # Ctrl-C: end the running jobs and keep what is known
        self.insisted = threading.Event()  # a second Ctrl-C: do not wait for them

    def check(self) -> None:
        """Raise KeyboardInterrupt once it was asked for."""
        if self.asked.is_set():
            raise KeyboardInterrupt
