"""Text that anybody may have written, made fit for a terminal."""

from __future__ import annotations

MAX_CHARACTERS = 100


def printable(text: str, limit: int = MAX_CHARACTERS) -> str:
    """`text` on one line, cut at `limit` characters, with a mark for every character that is not for the eye."""
    short = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(character if character.isprintable() else "�" for character in short)
