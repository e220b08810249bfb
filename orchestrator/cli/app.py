"""The command line: the list of verbs, and the only place that prints errors and decides the exit code.

Heavy modules are imported by the verb that needs them, so that --help and a mistyped option answer at once.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from orchestrator import __version__, files
from orchestrator.cli import crash, mistyped, place, streams
from orchestrator.cli.help_pages import Verb, Verbs
from orchestrator.cli.options import EXIT_CODES
from orchestrator.cli.verbs import (
    bench,
    check,
    clean,
    compare,
    data,
    doctor,
    frameworks,
    images,
    report,
    reproduce,
    sign,
    verify,
)
from orchestrator.errors import EXIT_CRASHED, EXIT_INTERRUPTED, OrchestratorError
from orchestrator.text import clip

LONGEST_LINE = 1000  # characters of a message: it may quote what the user gave


class AllVerbs(Verbs):
    """All verbs. A mistyped command line, and an interruption that no verb handles, end with one line."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        with _interruptible():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        with _interruptible():
            return super().invoke(ctx)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, typer.Abort):  # Abort: at a question
        streams.print_error("\ninterrupted", "yellow")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except mistyped.MISTYPED as error:
        if (explained := mistyped.explained(error)) is None:
            raise
        raise explained from error
    except BrokenPipeError as error:
        # It is not that of our output, which never raises one. Click would end with 1, the code of a verdict.
        raise crash.crashed(_crash_folder(), error) from error


app = typer.Typer(
    cls=AllVerbs,
    help="Runs the same workloads in many deep learning frameworks, each in its own pinned environment.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"rosetta {__version__}")
        raise typer.Exit


@app.callback()
def place_of(
    ctx: typer.Context,
    root: Annotated[
        Optional[Path], typer.Option(help="the checkout to use", metavar="DIR", envvar=place.VARIABLE)
    ] = None,
    version: Annotated[  # noqa: ARG001  (its callback does all)
        bool, typer.Option("--version", help="show the version", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Find out where this call works, before its verb does anything."""
    if not ctx.resilient_parsing:  # no command runs: the shell asks for completions
        source = ctx.get_parameter_source("root")
        by = f"{place.VARIABLE}=" if source is not None and source.name == "ENVIRONMENT" else "--root "
        place.choose(place.find(root, files.current_folder(), by))


app.command("bench", epilog=EXIT_CODES, cls=Verb)(bench.command)
app.command("report", cls=Verb)(report.command)
app.command("compare", epilog=compare.EXIT_CODES, cls=Verb)(compare.command)
app.command("reproduce", epilog=reproduce.EXIT_CODES, cls=Verb)(reproduce.command)
app.command("sign", epilog=sign.EXIT_CODES, cls=Verb)(sign.command)
app.command("verify", epilog=verify.EXIT_CODES, cls=Verb)(verify.command)
app.command("check", epilog=check.EXIT_CODES, cls=Verb)(check.command)
app.command("list", cls=Verb)(frameworks.ls)
app.command("new", cls=Verb)(frameworks.new)
app.command("doctor", cls=Verb)(doctor.command)
app.command("clean", cls=Verb)(clean.command)

images_app = typer.Typer(cls=Verbs, help="Build the images, or show which are built.", no_args_is_help=True)
images_app.command("build", cls=Verb)(images.build)
images_app.command("ls", cls=Verb)(images.ls)
app.add_typer(images_app, name="images")

data_app = typer.Typer(
    cls=Verbs, help="Prepare datasets, import your own copies, or show what is there.", no_args_is_help=True
)
data_app.command("prepare", cls=Verb)(data.prepare)
data_app.command("import", cls=Verb)(data.import_)
data_app.command("ls", cls=Verb)(data.ls)
app.add_typer(data_app, name="data")


def main() -> None:
    """Run the command line. An error becomes one line and an exit code; ROSETTA_DEBUG=1 also shows the traceback."""
    with streams.guarded():
        _main()


def _main() -> None:
    try:
        app()
    except OrchestratorError as error:
        sys.exit(_explain(error))
    except Exception as error:  # noqa: BLE001  (any other exception is a fault of this program)
        sys.exit(_crashed(error))


def _crashed(error: Exception) -> int:
    """Report an unexpected exception; return its exit code, which is never that of a verdict."""
    try:
        return _explain(crash.crashed(_crash_folder(), error))
    except Exception:  # noqa: BLE001  (such as a MemoryError, when there is no memory for the report either)
        sys.stderr.write(f"error: unexpected {type(error).__name__}; no crash report could be made\n")
        return EXIT_CRASHED


def _crash_folder() -> Path:
    try:
        return files.default_cache() / "crashes"
    except OrchestratorError:  # this user has no home folder
        return Path(tempfile.gettempdir())


def _explain(error: OrchestratorError) -> int:
    """Print an error and what to do about it; return its exit code."""
    if os.environ.get("ROSETTA_DEBUG"):
        traceback.print_exception(error)
    lines = [clip(line, LONGEST_LINE) for line in error.message.splitlines()]
    streams.print_error("error: " + "\n".join(lines), "red")
    if error.hint:
        streams.print_error(f"  → {place.located(error.hint)}", "yellow")
    return error.exit_code
