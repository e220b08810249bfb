"""Unquoted YAML values that do not mean what they look like. Pure.

PyYAML reads YAML 1.1, https://yaml.org/type/: there, 010 is 8, 1:30 is 90, 2024-01-01 is a date, and no is false. Such
values are refused: what a person wrote is what happens, or nothing.
"""

from __future__ import annotations

import re

_TYPES = "tag:yaml.org,2002:"


def surprise(tag: str, written: str, value: object) -> tuple[str, str] | None:
    """What YAML makes of an unquoted value, and what to write instead; None where both are what they look like.

    `tag` is YAML's type of the value, `written` its text, and `value` what YAML makes of it.
    """
    quoted = f'or "{written}" in quotes if it is text'
    kind = tag.removeprefix(_TYPES)
    if kind == "bool" and written.lower() not in {"true", "false"}:
        return f"reads {written} as {str(value).lower()}", f"write {str(value).lower()}, {quoted}"
    if kind in {"int", "float"} and ":" in written:
        return f"reads {written} in base 60, as {value}", f"write {value}, a time such as 90s or 1h30m, {quoted}"
    if kind == "int" and re.fullmatch(r"[-+]?0[0-9_]+", written):
        decimal = int(written.replace("_", ""))
        return f"reads {written} as octal, which is {value}", f"write {value} or {decimal}, {quoted}"
    if kind == "timestamp":
        return f"reads {written} as a date", f'write "{written}" in quotes'
    if kind == "value":  # =, https://yaml.org/type/value.html
        return f"gives {written} a meaning of its own", f'write "{written}" in quotes'
    return None
