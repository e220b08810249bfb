"""Where log messages go: warnings and, with --verbose, details to the terminal; everything to the run's log file.

Modules log with `logging.getLogger(__name__)`. All these loggers are below the one named "orchestrator", to which this
module adds its handlers.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from orchestrator import signals
from orchestrator.errors import StoreError
from orchestrator.record.run_folder import LOG_FILE

MAX_EARLIER = 10_000  # messages that are kept until there is a file for them
_log = logging.getLogger("orchestrator")


class Terminal(Protocol):
    """Prints messages; Screen implements it."""

    def warn(self, text: str) -> None:
        """Print a warning."""

    def alarm(self, text: str) -> None:
        """Print a warning that nobody may overlook."""

    def dim(self, text: str) -> None:
        """Print a detail."""


class _Whole(logging.Handler):
    """No signal interrupts it. One that left its lock taken would let every other thread that logs wait for ever."""

    def handle(self, record: logging.LogRecord) -> bool:
        with signals.deferred():
            return super().handle(record)


class TerminalHandler(_Whole):
    """Prints warnings and, if it is verbose, details."""

    def __init__(self, terminal: Terminal, *, verbose: bool) -> None:
        super().__init__(logging.INFO if verbose else logging.WARNING)
        self._terminal = terminal

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            self._terminal.alarm(self.format(record))
        elif record.levelno >= logging.WARNING:
            self._terminal.warn(self.format(record))
        else:
            self._terminal.dim(self.format(record))


class EarlierMessages(_Whole):
    """Keeps messages until a run's folder exists."""

    def __init__(self) -> None:
        super().__init__()
        self.records: deque[logging.LogRecord] = deque(maxlen=MAX_EARLIER)

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class RunLog(_Whole, logging.FileHandler):
    """The log file of a run. If it can no longer be written, one warning is logged and the run goes on."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / LOG_FILE, encoding="utf-8", errors="backslashreplace")
        formatter = logging.Formatter(
            "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s [%(threadName)s] %(message)s", "%Y-%m-%dT%H:%M:%S"
        )
        formatter.converter = time.gmtime
        self.setFormatter(formatter)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802  (logging's interface)
        _log.removeHandler(self)
        _log.warning("%s cannot be written; from now on this run has no log file", self.baseFilename)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # every message was flushed, so an error was reported already
            super().close()


@contextlib.contextmanager
def on_terminal(terminal: Terminal, *, verbose: bool) -> Iterator[None]:
    """Print messages while the block runs, and keep all of them for a log file."""
    level = _log.level
    _log.setLevel(logging.DEBUG)
    try:
        with _added(EarlierMessages()), _added(TerminalHandler(terminal, verbose=verbose)):
            yield
    finally:
        _log.setLevel(level)


@contextlib.contextmanager
def in_folder(folder: Path) -> Iterator[None]:
    """Write messages to the log file in `folder` while the block runs, earlier ones first. Raises StoreError."""
    try:
        file = RunLog(folder)
    except OSError as error:
        raise StoreError(
            f"{folder / LOG_FILE}: cannot be written: {error.strerror}", hint="check the disk and its permissions"
        ) from error
    earlier = [handler for handler in _log.handlers if isinstance(handler, EarlierMessages)]
    with contextlib.ExitStack() as stack:
        stack.enter_context(_added(file))
        for handler in earlier:
            _log.removeHandler(handler)
            stack.callback(_log.addHandler, handler)
            while handler.records:
                file.handle(handler.records.popleft())
        yield


@contextlib.contextmanager
def _added(handler: logging.Handler) -> Iterator[None]:
    _log.addHandler(handler)
    try:
        yield
    finally:
        _log.removeHandler(handler)
        handler.close()
