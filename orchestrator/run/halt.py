"""Tells the threads of nodes that the run is to end: by Ctrl-C, or because another thread has failed."""

from __future__ import annotations

import threading

from orchestrator import signals


class Halt:
    """Set by the main thread; the threads of nodes look at it while they wait."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def set(self) -> None:
        """End the running jobs, and keep what is known."""
        self._asked.set()

    def clear(self) -> None:
        """The run is over; another one may follow."""
        self._asked.clear()

    def is_set(self) -> bool:
        """Whether the run is to end."""
        return self._asked.is_set() or signals.asked()

    def check(self) -> None:
        """Raise KeyboardInterrupt once the run is to end."""
        if self.is_set():
            raise KeyboardInterrupt
