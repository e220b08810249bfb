"""The options that several verbs share, each declared once, and the texts about exit codes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Optional

import typer

from orchestrator.cli import place
from orchestrator.engines import registry
from orchestrator.errors import UsageError

DEFAULT_RESULTS = Path("results")  # of the checkout in use, or of the current folder: see ResultsOption
EXIT_CODES = """\
Exit codes: 0 all jobs ok, or skipped · 1 a job failed · 2 wrong usage · 3 wrong spec · 4 this machine lacks something ·
5 data are damaged, or cannot be downloaded · 6 an image could not be built · 7 a file of an image or workload is wrong
· 8 results cannot be read or written · 9 nothing was started: it needs more memory or disk than there is, or you did
not agree to what it needs · 70 a fault of this program · 74 done, but the output could not be written ·
130 interrupted"""

STEPS = 20  # of a training that `verify` compares unless the user chooses, and that `check` compares

# app.py replaces {workloads}, {datasets} and {layouts} when it prints the help.
FrameworkOption = Annotated[
    Optional[list[str]], typer.Option("--framework", help="only this framework (repeatable)", metavar="FRAMEWORK")
]
WorkloadOption = Annotated[
    Optional[list[str]],
    typer.Option("--workload", help="only this workload: {workloads} (repeatable)", metavar="WORKLOAD"),
]
DeviceOption = Annotated[Optional[str], typer.Option("--device", help="auto, cpu or gpu")]
LocalEngineOption = Annotated[
    Optional[str], typer.Option("--engine", help=", ".join(filter(registry.is_local, registry.names())))
]
SetOption = Annotated[
    Optional[list[str]],
    typer.Option("--set", help="change any value of the spec, e.g. seed=2 (repeatable)", metavar="KEY=VALUE"),
]
PythonOption = Annotated[
    Optional[list[str]],
    typer.Option("--python", help="process engine: use this interpreter for an image", metavar="IMAGE=PATH"),
]


def _results(ctx: typer.Context, param: typer.CallbackParam, value: Path) -> Path:
    """The folder that was named; without a name, that of the place where this call works."""
    source = ctx.get_parameter_source(param.name or "")
    is_named = source is not None and source.name != "DEFAULT"
    return value if is_named or ctx.resilient_parsing else place.current().results


ResultsOption = Annotated[
    Path,
    typer.Option(
        "--results", help="folder that holds the runs; in a checkout, its results/", metavar="DIR", callback=_results
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON for a program to read")]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="show details, such as all output of builds and installations")
]


def python_option(text: str) -> tuple[str, Path]:
    """Split IMAGE=PATH into its two parts. A name without a slash is looked for on PATH. Raises UsageError."""
    image, equals, path = text.partition("=")
    if not equals or not image or not path:
        raise UsageError(
            f"--python {text}: not of the form IMAGE=PATH", hint="for example --python numpy=/usr/bin/python3"
        )
    if "/" not in path:
        found = shutil.which(path)
        if found is None:
            raise UsageError(
                f"--python {text}: there is no command {path} on PATH",
                hint=f"give its path: --python {image}=/path/to/python",
            )
        return image, Path(found).absolute()
    try:
        return image, Path(path).expanduser().absolute()  # jobs start in another folder
    except (RuntimeError, OSError) as error:  # RuntimeError: ~ of an unknown user
        raise UsageError(f"--python {text}: {error}", hint="give an absolute path") from error
