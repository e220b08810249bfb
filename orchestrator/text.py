"""Text for the user: untrusted text made safe to show, and suggestions for misspelled names. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

MAX_CHARACTERS = 100
MAX_NAME = 60
MAX_NOTE = 500
MARK = "\N{REPLACEMENT CHARACTER}"  # in place of a character that must not be shown
# This program's own mark of what is verified, and what looks like it: no text from elsewhere may show them.
CHECK_MARKS = "\u2713\u2714\u2611\u2705\u237b\U0001f5f8\U0001f5f9\U0001fbb1"
# Control characters except tab and newline, lone surrogates, and characters that are invisible, end a line, or change
# the direction of text.
_DECEIVING = re.compile(
    f"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\ud800-\udfff\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff{CHECK_MARKS}]"
)


def printable(text: str, limit: int = MAX_CHARACTERS) -> str:
    """`text` for one line of a terminal, cut at `limit` characters."""
    return "".join(
        character if character.isprintable() and character not in CHECK_MARKS else MARK
        for character in clip(text, limit)
    )


def plain(text: str) -> str:
    """`text` for a page, with its lines.

    Characters that would hide or reorder other text, or that look like a mark of this program, are replaced.
    """
    return _DECEIVING.sub(MARK, text)


def clip(text: str, length: int = MAX_NAME) -> str:
    """At most `length` characters, the last one an ellipsis where something was cut off."""
    return text if len(text) <= length else text[: length - 1] + "…"


CLOSE = 0.6  # of difflib: how much of two names must be alike before one is suggested for the other


def in_bytes(size: int) -> str:
    """`170 MB`, or `1.1 GB`; `1 MB` for less than one."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{max(size / 1e6, 1):,.0f} MB"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known name, or all of them; empty without any."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=CLOSE)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are: {', '.join(known)}" if known else ""
