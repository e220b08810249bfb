"""What is wrong with a spec, in words: where it stands, what it must be, and what to type instead. Pure.

Pydantic finds the mistakes. Its own sentences name classes and regular expressions, so none of them is shown.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import PydanticCustomError

from orchestrator.text import CLOSE, clip, did_you_mean

KEYS = "every key and its default: configs/README.md"
# What people write for a value that has another name here.
_SYNONYMS = {
    "cuda": "gpu",
    "nvidia": "gpu",
    "podman": "docker",
    "venv": "process",
    "float32": "fp32",
    "float64": "fp64",
    "float16": "amp",
    "fp16": "amp",
}
# By pydantic's name of the error, https://docs.pydantic.dev/latest/errors/validation_errors/
_WORDS = {
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must hold keys and values",
    "model_type": "must hold keys and values",
    "model_attributes_type": "must hold keys and values",
    "missing": "is missing",
    "greater_than_equal": "must be {ge} or more",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be {le} or less",
    "less_than": "must be less than {lt}",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} items",
    "too_long": "must have at most {max_length} items",
}


@dataclass(frozen=True, kw_only=True)
class Typed:
    """What the user typed: an option, an argument or --set; or the file, and the line in it."""

    where: str  # "--device", "--set cnn.epochs=2", "FRAMEWORK", "quick.yaml:3"
    option: bool  # whether it was on the command line
    path: tuple[str, ...] = ()  # of the key that --set names

    @property
    def is_setting(self) -> bool:
        """Whether it is a KEY=VALUE of --set."""
        return self.where.startswith("--set ")

    @property
    def is_argument(self) -> bool:
        """Whether it is an argument without an option before it."""
        return self.option and not self.where.startswith("-")


@dataclass(frozen=True, kw_only=True)
class Complaint:
    """One mistake: a line that says what is wrong, and one that says what to type."""

    text: str
    hint: str


def mistake(message: str, instead: str = "") -> PydanticCustomError:
    """The error that a validator raises: what is wrong with the value, and a value to type instead of it."""
    return PydanticCustomError("mistake", "{message}", {"message": message, "instead": instead})


def unknown(kind: str, name: str, known: Iterable[str]) -> PydanticCustomError:
    """The error that a validator raises for a name that nothing of this kind has."""
    known = sorted(known)
    found = nearest(name, known)
    return mistake(f"no {kind} is called {name!r}{did_you_mean(found or name, known)}", found)


def nearest(given: str, known: Sequence[str]) -> str:
    """The valid name that was probably meant; empty if none is near."""
    folded = given.lower()
    for each in (folded, _SYNONYMS.get(folded, "")):
        if each in known:
            return each
    return next(iter(difflib.get_close_matches(folded, known, n=1, cutoff=CLOSE)), "")


def of_unknown_key(location: tuple[str, ...], typed: Typed, keys: Mapping[tuple[str, ...], Any]) -> Complaint:
    """The complaint about a key that no spec has; `keys` are all that there are, as paths."""
    path = typed.path or location
    found = [".".join(each) for each in _like(path, list(keys))]
    key = ".".join(path)
    quoted = [repr(each) for each in found]
    meant = f"; did you mean {_any_of(quoted)}?" if found else ""
    if not found:
        siblings = sorted({each[len(path) - 1] for each in keys if each[: len(path) - 1] == path[:-1] != each})
        meant = f"; there are: {', '.join(siblings)}" if siblings else ""
    where = f"{typed.where}: "
    value = typed.where.partition("=")[2]
    hint = f"type {_any_of([_setting(each, value) for each in found])}" if found and typed.is_setting else KEYS
    return Complaint(text=f"{where}unknown key {key!r}{meant}", hint=hint)


def of_value(details: Mapping[str, Any], typed: Typed) -> Complaint:
    """The complaint about a value; `details` is one of pydantic's errors."""
    key = ".".join(map(str, details["loc"]))
    given = details.get("input")
    message, instead = _in_words(details, given)
    text = f"{_subject(typed, key, given)}{message}"
    if not typed.option and isinstance(given, str | int | float) and repr(given) not in message:
        text += f", not {clip(repr(given))}"
    return Complaint(text=text, hint=_hint(typed, details["loc"], instead) or _general_hint(typed))


def _in_words(details: Mapping[str, Any], given: object) -> tuple[str, str]:
    """What is wrong with a value, and a value to type instead, or nothing."""
    kind, context = details["type"], details.get("ctx", {})
    if kind == "mistake":
        return context["message"], context["instead"]
    if kind == "literal_error":
        expected = re.findall(r"'([^']*)'", str(context["expected"]))
        found = nearest(given, expected) if isinstance(given, str) else ""
        return f"must be {_any_of(expected)}" + (f"; did you mean {found!r}?" if found else ""), found or expected[0]
    if kind in _WORDS:
        numbers = {name: _number(value) for name, value in context.items() if isinstance(value, int | float)}
        message = _WORDS[kind].format(**{**context, **numbers}).replace("at least 1 items", "at least 1 item")
        return message, _instead(kind, given)
    return details["msg"].removeprefix("Value error, "), ""


def _instead(kind: str, given: object) -> str:
    if kind == "string_type" and isinstance(given, int | float):
        return f'"{given}"'
    if kind in {"tuple_type", "list_type"} and isinstance(given, str) and re.fullmatch(r"[\w-]+", given):
        return f"[{given}]"
    if kind == "int_type" and isinstance(given, float) and given.is_integer():  # 1e3
        return f"{given:.0f}"
    return ""


def _subject(typed: Typed, key: str, given: object) -> str:
    """What was typed, as it was typed."""
    if typed.is_argument:
        return ""
    if typed.is_setting:
        return f"{typed.where}: " + ("" if key == ".".join(typed.path) else f"{key}: ")
    if typed.option:
        shown = {str: given or "''", int: given, float: given}.get(type(given), "")
        return f"{typed.where} {shown}".rstrip() + ": "
    return f"{typed.where}: " + (f"{key}: " if key else "")


def _hint(typed: Typed, location: Sequence[str | int], instead: str) -> str:
    if not instead or typed.is_argument:
        return ""
    if typed.is_setting:
        return f"type {_setting('.'.join(typed.path), instead)}"
    if typed.option:
        return f"type {typed.where} {instead}"
    last = location[-1]
    return f"write {instead}" if isinstance(last, int) else f"write {last}: {instead}"


def _setting(key: str, value: str) -> str:
    return f"--set {shlex.quote(f'{key}={value}')}"


def _general_hint(typed: Typed) -> str:
    if typed.is_argument or typed.where in {"--framework", "--workload"}:
        return "`rosetta list` shows all frameworks and their workloads"
    return "--help explains every option" if typed.option and not typed.is_setting else KEYS


def _like(path: tuple[str, ...], known: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The keys that were probably meant: those of the nearest name, of the same section if one is there."""
    near = nearest(path[-1], sorted({each[-1] for each in known}))
    found = [each for each in known if near and each[-1] == near]
    return [each for each in found if each[:-1] == path[:-1]] or found


def _any_of(words: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _number(value: float) -> str:
    return f"{value:,.10g}"
