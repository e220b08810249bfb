"""Standard output and standard error that never raise an exception when something is printed.

A character that the terminal's encoding lacks is replaced by one that means the same. When a stream cannot be written
(its reader has ended, its disk is full, its terminal is closed), it becomes silent, and the program goes on.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import select
import sys
import unicodedata
from collections.abc import Iterator
from typing import TextIO

from orchestrator.errors import EXIT_OUTPUT_LOST

ERRORS = "rosetta.similar"  # the name of the error handler below, for open() and encode()
# One character stands for one where possible, so that tables stay aligned.
_SIMILAR = {
    "✓": "v", "✗": "x", "≈": "~", "≠": "!=", "≤": "<=", "≥": ">=", "±": "+-", "×": "x", "·": "-", "−": "-", "–": "-",
    "—": "-", "…": "...", "→": "->", "←": "<-", "↑": "^", "↓": "v", "↕": "^v", "▲": "^", "▼": "v",
    "“": '"', "”": '"', "‘": "'", "’": "'", "•": "*", "●": "*", "○": "o", "µ": "u", "μ": "u", "°": "deg", "ß": "ss",
}  # fmt: skip
_BOXES = {"─": "-", "━": "-", "═": "-", "╸": "-", "╺": "-", "│": "|", "┃": "|", "║": "|"}


class _Raw(io.RawIOBase):
    """The bytes of a stream. After an error, which is kept, everything written is dropped."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self.error: OSError | None = None

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        size = len(memoryview(data).cast("B"))
        while self.error is None:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:  # another program has made the terminal non-blocking
                select.select([], [self._descriptor], [])
            except OSError as error:
                self.error = error
        return size

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Replace sys.stdout and sys.stderr during the block by streams that never raise.

    When the block ends with success, but a part of stdout was lost, the exit code is EXIT_OUTPUT_LOST.
    """
    before = sys.stdout, sys.stderr
    _occupy()
    raw, sys.stdout = _replaced(before[0], 1)
    _, sys.stderr = _replaced(before[1], 2)
    try:
        code = None
        try:
            yield
        except SystemExit as end:
            code = end.code
        sys.stdout.flush()
        if lost := _loss(raw):
            print_error(f"error: the output is incomplete: {lost}", "red")
            code = code or EXIT_OUTPUT_LOST
        if code:
            raise SystemExit(code)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


def print_error(text: str, color: str) -> None:
    """Print a line to stderr, in colour on a terminal. Never raises."""
    import typer

    allowed = not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") not in {"dumb", "unknown"}  # as in rich
    colored = allowed and sys.stderr is not None and sys.stderr.isatty()
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write((typer.style(text, fg=color) if colored else text) + "\n")
        sys.stderr.flush()


def similar(error: UnicodeError) -> tuple[str, int]:
    """An error handler for codecs: characters that the encoding lacks become similar ones of ASCII."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_similar, error.object[error.start : error.end])), error.end


codecs.register_error(ERRORS, similar)


def _similar(character: str) -> str:
    if found := _SIMILAR.get(character) or _BOXES.get(character):
        return found
    if "\u2500" <= character <= "\u257f":  # corners and crossings of boxes
        return "+"
    if "\u2580" <= character <= "\u259f":  # blocks of a bar
        return "#"
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return plain or "?"


def _occupy() -> None:
    """Open what was closed (`>&-`) as the null device: else the next file that is opened would be stdout."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def _replaced(stream: TextIO | None, descriptor: int) -> tuple[_Raw, TextIO]:
    """A stream in place of Python's own, with the same encoding."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    if stream is not None:
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    raw = _Raw(descriptor)
    text = io.TextIOWrapper(
        io.BufferedWriter(raw),  # type: ignore[type-var]  # typeshed asks for more than the class does
        encoding=encoding,
        errors=ERRORS,
        line_buffering=descriptor == 2 or raw.isatty(),
    )
    return raw, text


def _loss(raw: _Raw) -> str:
    """Why a part of the output was lost; empty when all was written, or its reader wanted no more (`| head`)."""
    if raw.error is None or raw.error.errno == errno.EPIPE:
        return ""
    return os.strerror(raw.error.errno or errno.EIO)
