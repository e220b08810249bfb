"""Untrusted text → text that is safe to look at: titles, notes and log lines come from labels and containers. Pure."""

from __future__ import annotations

import unicodedata

MAX_NAME = 60
MAX_NOTE = 500
_DIRECTIONS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


def plain(text: str) -> str:
    """The text with a visible mark for each character that would hide or reorder what stands beside it."""
    return "".join("\N{REPLACEMENT CHARACTER}" if _deceives(character) else character for character in text)


def clip(text: str, length: int = MAX_NAME) -> str:
    """At most `length` characters, the last one an ellipsis where something was cut off."""
    return text if len(text) <= length else text[: length - 1] + "…"


def _deceives(character: str) -> bool:
    """Control characters but tab and newline, halves of characters, and commands that turn the direction of text."""
    return character not in "\t\n" and (
        unicodedata.category(character) in {"Cc", "Cs"} or unicodedata.bidirectional(character) in _DIRECTIONS
    )
