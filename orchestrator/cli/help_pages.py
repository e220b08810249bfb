"""The help of a command in the words of this program: no names of Python types, and paragraphs that fill the width."""

from __future__ import annotations

from typing import Any

import typer.core

from orchestrator.cli import mistyped


class Verb(typer.core.TyperCommand):
    """A verb whose help names workloads and datasets: looking them up takes time that only help needs.

    Its examples name the program as the user did.
    """

    def format_help(self, ctx: Any, formatter: Any) -> None:
        typed = ctx.find_root().info_name
        for part in (self, *self.params):
            text = _filled(getattr(part, "help", None) or "")
            setattr(part, "help", text.replace("\n  rosetta ", f"\n  {typed} "))  # noqa: B010  (not all have it)
        in_own_words(self, ctx)
        super().format_help(ctx, formatter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return list(super().parse_args(ctx, args))
        except mistyped.MISTYPED as error:
            setattr(error, "ctx", getattr(error, "ctx", None) or ctx)  # noqa: B010  (the library forgets it sometimes)
            raise


class Verbs(typer.core.TyperGroup):
    """Several verbs below one name."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        in_own_words(self, ctx)
        super().format_help(ctx, formatter)


def in_own_words(command: Any, ctx: Any) -> None:
    """Change the texts that the library would show in its own words or with line breaks of the source."""
    command.help = _joined(command.help)
    command.epilog = _joined(command.epilog)
    for each in command.get_params(ctx):
        if each.param_type_name == "argument":
            each.display_type = lambda ctx: ""  # noqa: ARG005  ("<list[str]>")
            each.get_usage_pieces = _in_usage(each)  # "{RESULT}"
        elif each.is_flag:
            each.metavar = ""  # "<bool>"
        elif each.metavar is None:
            each.metavar = each.opts[0].lstrip("-").upper()  # "<str>"
        each.help = _LIBRARY.get(getattr(each, "help", ""), getattr(each, "help", ""))


_LIBRARY = {
    "Show this message and exit.": "show this help",
    "Install completion for the current shell.": "install completion for your shell",
    "Show completion for the current shell, to copy it or customize the installation.": "print the completion script",
}


def _in_usage(argument: Any) -> Any:
    name = argument.metavar or argument.name.upper()
    name += "..." if argument.nargs != 1 else ""
    return lambda ctx: [name if argument.required else f"[{name}]"]  # noqa: ARG005


def _joined(text: str | None) -> str:
    """The same paragraphs, each on one line; one that starts with \\b keeps its lines."""
    paragraphs = (text or "").split("\n\n")
    return "\n\n".join(each if each.lstrip().startswith("\b") else " ".join(each.split()) for each in paragraphs)


def _filled(text: str) -> str:
    """A help text with the names of workloads and datasets in place of {workloads} and {datasets}."""
    from orchestrator.cli.verbs import data
    from orchestrator.inputs.datasets import labelled_names
    from orchestrator.plan.workloads import WORKLOADS

    names = labelled_names()
    text = text.replace("{workloads}", ", ".join(WORKLOADS)).replace("{datasets}", ", ".join(names))
    return text.replace("{layouts}", data.layouts()) if "{layouts}" in text else text
