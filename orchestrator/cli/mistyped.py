"""Mistyped command lines: what the library for options finds wrong, as an error of this program with its remedy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import Any

import typer

from orchestrator.errors import UsageError
from orchestrator.text import clip, did_you_mean

# The library's own UsageError: some releases of Typer have a copy of Click in them, others use Click.
MISTYPED: type[Exception] = typer.BadParameter.__bases__[0]
_LONGEST = 60  # characters of a name that was typed


def explained(error: Any) -> UsageError | None:
    """The same mistake as one line, and what to type; None for a call without a verb, which shows the help."""
    kind, context, parameter = type(error).__name__, error.ctx, getattr(error, "param", None)
    if kind == "NoArgsIsHelpError":
        return None
    command = context.command_path if context else "rosetta"
    help_ = f"type {command} --help"
    if kind == "NoSuchOption":
        known = [name for each in (context.command.params if context else ()) for name in each.opts]
        bare = error.option_name.lstrip("-")
        if bare in known:
            return UsageError(f"{command} takes {bare.upper()} without {error.option_name}", hint=help_)
        options = [name.lstrip("-") for name in known if name.startswith("-")]
        near = difflib.get_close_matches(bare, options, n=1)
        what = f"{command} has no option {clip(error.option_name, _LONGEST)}"
        return UsageError(what + (f"; did you mean --{near[0]}?" if near else ""), hint=help_)
    if found := re.match(r"No such command '(.*)'\.", error.message, re.DOTALL):
        known = sorted(context.command.commands)
        return UsageError(f"{command} has no command {found[1]!r:.80}{did_you_mean(found[1], known)}", hint=help_)
    if kind == "BadOptionUsage":
        takes = "takes no value" if "not take a value" in error.message else "needs a value"
        return UsageError(f"{command}: {error.option_name} {takes}", hint=help_)
    if found := re.match(r"Got unexpected extra argument(?:\(s\)|s)? \((.*)\)", error.message):
        return UsageError(f"{command} takes no argument {found[1]!r:.80}", hint=help_)
    if kind == "MissingParameter" and parameter is not None:
        return UsageError(f"{command}: {_name(parameter)} is missing", hint=help_)
    if parameter is not None:
        return UsageError(f"{_name(parameter)}: {_sentence(error.message)}", hint=help_)
    return UsageError(f"{command}: {_sentence(error.format_message())}", hint=help_)


def whole_number(option: str, low: int, high: int) -> Callable[[Any], int]:
    """A parser for the value of an option: a whole number in a range."""

    def parse(value: Any) -> int:
        text = str(value).strip()
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise UsageError(
                f"{option} {clip(text, _LONGEST)}: must be a whole number from {low} to {high}",
                hint=f"for example {option} {max(low, min(high, 5))}",
            )
        return int(text)

    return parse


def _name(parameter: Any) -> str:
    """An option by its first name, an argument as the help shows it."""
    return str(
        parameter.opts[0] if parameter.param_type_name == "option" else parameter.metavar or parameter.name.upper()
    )


def _sentence(text: str) -> str:
    """A sentence of the library in the style of this program."""
    text = text.strip().rstrip(".")
    return text[:1].lower() + text[1:]
