"""The command line: one function per verb. The only place that prints errors and decides the exit code.

Heavy modules are imported by the verb that needs them, so that --help and a mistyped option answer at once.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from orchestrator.cli import conformance_verbs, results_verbs, stock_verbs
from orchestrator.cli.options import (
    DEFAULT_RESULTS,
    EXIT_CODES,
    ROOT,
    JsonOption,
    PythonOption,
    ResultsOption,
    interruptible,
    python_option,
)
from orchestrator.errors import EXIT_JOBS_FAILED, HostError, OrchestratorError

app = typer.Typer(
    help="Runs the same three models in many deep learning frameworks, each in its own pinned environment.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(stock_verbs.images_app, name="images")
app.add_typer(stock_verbs.data_app, name="data")
app.add_typer(results_verbs.app)
app.add_typer(conformance_verbs.app)


@app.command(epilog=EXIT_CODES)
def bench(
    spec: Annotated[
        Optional[Path], typer.Argument(help="a YAML spec; by default configs/quick.yaml, on a GPU configs/seed.yaml")
    ] = None,
    framework: Annotated[Optional[list[str]], typer.Option(help="only this framework (repeatable)")] = None,
    workload: Annotated[
        Optional[list[str]], typer.Option(help="only this workload: cnn, rnn, resnet50 (repeatable)")
    ] = None,
    device: Annotated[Optional[str], typer.Option(help="auto, cpu or gpu")] = None,
    gpu: Annotated[Optional[str], typer.Option(help="which GPU: its index, its UUID, or all", metavar="GPU")] = None,
    engine: Annotated[Optional[str], typer.Option(help="auto, docker, process or ray")] = None,
    address: Annotated[
        str, typer.Option(help="ray engine: the cluster; auto finds or starts one, local starts one, HOST:PORT")
    ] = "auto",
    dataset: Annotated[Optional[str], typer.Option(help="auto, real, official, imported or synthetic")] = None,
    repeats: Annotated[
        Optional[str], typer.Option(help="run every job this often; auto: until the rankings are decided", metavar="N")
    ] = None,
    budget: Annotated[
        Optional[str], typer.Option(help="how long --repeats auto may take, e.g. 30m", metavar="TIME")
    ] = None,
    retries: Annotated[Optional[int], typer.Option(help="run a failed job up to N more times")] = None,
    set_: Annotated[
        Optional[list[str]],
        typer.Option("--set", help="change any value of the spec, e.g. cnn.epochs=1", metavar="KEY=VALUE"),
    ] = None,
    python: PythonOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show the jobs and stop")] = False,
    resume: Annotated[
        Optional[str], typer.Option(help="go on with an earlier run: only what is missing", metavar="RUN")
    ] = None,
    results: ResultsOption = DEFAULT_RESULTS,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="show all output of builds and installations")
    ] = False,
) -> None:
    """Run a spec and print its tables.

    \b
    Examples:
      orchestrator bench --framework pytorch
      orchestrator bench configs/seed.yaml --workload cnn --dataset synthetic
      orchestrator bench configs/smoke.yaml --set cnn.epochs=2 --set trace=5
      orchestrator bench --workload rnn --repeats auto --budget 2h
      orchestrator bench --resume 20261123-140000-quick-pytorch
    """
    from orchestrator import files
    from orchestrator.cli import selection
    from orchestrator.cli.screen import Screen
    from orchestrator.plan.spec import Override, parse_setting
    from orchestrator.run import preparation

    options = {
        "frameworks": framework or None,
        "workloads": workload or None,
        "device": device,
        "gpu": gpu,
        "engine": engine,
        "dataset": dataset,
        "repeats": int(repeats) if repeats is not None and re.fullmatch("[0-9]{1,9}", repeats) else repeats,
        "budget": budget,
        "retries": retries,
    }
    overrides = [
        Override(path=(key,), value=value, origin=f"--{key.removesuffix('s') if isinstance(value, list) else key}")
        for key, value in options.items()
        if value is not None
    ]
    request = preparation.Request(
        root=ROOT,
        results=results,
        cache=files.default_cache(),
        spec=spec,
        overrides=[*overrides, *map(parse_setting, set_ or ())],
        pythons=dict(map(python_option, python or ())),
        resume=resume,
        address=address,
    )
    screen = Screen()
    if resume is not None:
        folder, prepared = preparation.resume(request, screen.warn)
    else:
        prepared = preparation.prepare(request, screen.warn)
        if dry_run:
            screen.show_plan(prepared)
            return
        folder = preparation.start(request, prepared)
    screen.show_start(folder.path, prepared)
    where = "" if address == "auto" else f" --address {address}"
    with interruptible(f"orchestrator bench --resume {folder.id}{where}"), screen.live(verbose=verbose) as listener:
        preparation.run(request, folder, prepared, listener, screen.warn)
    measured = folder.results()
    verified, damaged = selection.certificates_of([folder])
    for error in damaged:
        screen.warn(error.message)
    screen.show_report(measured, ROOT, verified)
    skipped = sum(result.status == "skipped" for result in measured)
    screen.say(f"\nstored in {screen.shorten(folder.path)}/" + (f"; {skipped} skipped" if skipped else ""))
    if any(result.status not in {"ok", "skipped"} for result in measured):
        raise typer.Exit(EXIT_JOBS_FAILED)


@app.command("list")
def list_(json: JsonOption = False) -> None:
    """Show every framework: title, version, workloads, image, and whether it is built.

    \b
    Examples:
      orchestrator list
      orchestrator list --json
    """
    from orchestrator.cli import listing
    from orchestrator.cli.screen import Screen
    from orchestrator.plan import catalog

    frameworks = listing.frameworks(catalog.load(ROOT))
    if json:
        Screen().print_json(frameworks)
    else:
        Screen().show_rows("Frameworks", [{k: v for k, v in row.items() if k != "variants"} for row in frameworks])


@app.command()
def doctor(
    gpu: Annotated[str, typer.Option(help="judge by this GPU: its index or its UUID")] = "0",
    json: JsonOption = False,
) -> None:
    """Show what this machine can run, what it lacks, and what to do. Builds and downloads nothing.

    Ends with exit code 4 only where no engine can run a single job.

    \b
    Examples:
      orchestrator doctor
      orchestrator doctor --gpu 1 --json
    """
    from orchestrator import files
    from orchestrator.cli import diagnosis as examining
    from orchestrator.cli.screen import Screen
    from orchestrator.plan import catalog

    diagnosis = examining.examine(catalog.load(ROOT), files.default_cache(), gpu)
    if json:
        Screen().print_json(diagnosis.as_json())
    else:
        Screen().show_diagnosis(diagnosis)
    if not diagnosis.usable:
        raise typer.Exit(HostError.exit_code)


@app.command()
def clean(
    all_: Annotated[bool, typer.Option("--all", help="also all images, environments, datasets and weights")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
) -> None:
    """Remove what killed runs left behind; with --all, everything but results/.

    \b
    Examples:
      orchestrator clean
      orchestrator clean --all
    """
    from rich.filesize import decimal

    from orchestrator import files
    from orchestrator.cli.screen import Screen
    from orchestrator.engines import leftovers

    screen = Screen()
    found = leftovers.find(files.default_cache(), everything=all_)
    if not found:
        screen.say("nothing to remove" + ("" if all_ else "; --all would look at images and caches too"))
        return
    rows = [{"kind": e.kind, "name": e.name, "size": "" if e.size is None else decimal(e.size)} for e in found]
    screen.show_rows(f"{len(found)} things to remove", rows)
    if not yes and not typer.confirm("Remove them?"):
        screen.say("nothing was removed")
        return
    for each in found:
        try:
            each.remove()
        except (OSError, HostError) as error:
            screen.warn(f"{each.kind} {each.name} stays: {error}")
    screen.say("removed")


def main() -> None:
    """Run the command line; errors become one line and an exit code. ROSETTA_DEBUG=1 shows the traceback."""
    # A closed terminal and SIGTERM are Ctrl-C by other means: they end the running job, and the run can be resumed.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        app()
    except OrchestratorError as error:
        if os.environ.get("ROSETTA_DEBUG"):
            raise
        typer.secho(f"error: {error.message}", fg="red", err=True)
        if error.hint:
            typer.secho(f"  → {error.hint}", fg="yellow", err=True)
        sys.exit(error.exit_code)
