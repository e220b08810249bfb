"""`rosetta bench`: run a spec and print its tables."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from orchestrator.cli import mistyped, place
from orchestrator.cli.consent import YesOption
from orchestrator.cli.options import (
    DEFAULT_RESULTS,
    DeviceOption,
    FrameworkOption,
    JsonOption,
    PythonOption,
    ResultsOption,
    SetOption,
    VerboseOption,
    WorkloadOption,
)
from orchestrator.engines import registry
from orchestrator.errors import EXIT_JOBS_FAILED, UsageError

if TYPE_CHECKING:
    from orchestrator.cli.screen import Screen
    from orchestrator.record.run_folder import RunFolder
    from orchestrator.run.preparation import PreparedRun, Request

SpecArgument = Annotated[
    Optional[Path],
    typer.Argument(
        help="a YAML file, or a name: quick (the default), seed (the default on a GPU) or smoke",
        metavar="SPEC",
    ),
]
BenchGpuOption = Annotated[Optional[str], typer.Option(help="which GPU: its index, its UUID, or all", metavar="GPU")]
EngineOption = Annotated[Optional[str], typer.Option(help=", ".join(registry.names()))]
AddressOption = Annotated[
    str, typer.Option(help="ray engine: the cluster; auto finds or starts one, local starts one, HOST:PORT joins one")
]
DatasetOption = Annotated[Optional[str], typer.Option(help="auto, real, official, imported or synthetic")]
BenchRepeatsOption = Annotated[
    Optional[str], typer.Option(help="run every job N times; auto: until the rankings are decided", metavar="N")
]
BudgetOption = Annotated[
    Optional[str], typer.Option(help="how long --repeats auto may take: 90s, 30m, 1h30m", metavar="TIME")
]
RetriesOption = Annotated[
    Optional[int],
    typer.Option(
        parser=mistyped.whole_number("--retries", 0, 10), help="run a failed job up to N more times", metavar="N"
    ),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="show the jobs and stop")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="print tables and errors only, no progress")]
ResumeOption = Annotated[Optional[str], typer.Option(help="run what is missing of an earlier run", metavar="RUN")]


def command(
    spec: SpecArgument = None,
    framework: FrameworkOption = None,
    workload: WorkloadOption = None,
    device: DeviceOption = None,
    gpu: BenchGpuOption = None,
    engine: EngineOption = None,
    address: AddressOption = "auto",
    dataset: DatasetOption = None,
    repeats: BenchRepeatsOption = None,
    budget: BudgetOption = None,
    retries: RetriesOption = None,
    set_: SetOption = None,
    python: PythonOption = None,
    dry_run: DryRunOption = False,
    resume: ResumeOption = None,
    yes: YesOption = False,
    json: JsonOption = False,
    results: ResultsOption = DEFAULT_RESULTS,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Run a spec and print its tables.

    \b
    Examples:
      rosetta bench --framework pytorch
      rosetta bench seed --workload cnn --dataset synthetic
      rosetta bench smoke --set cnn.epochs=2 --set trace=5
      rosetta bench --workload rnn --repeats auto --budget 2h
      rosetta bench --resume 20261123-140000-quick-pytorch
    """
    from orchestrator.cli import requesting
    from orchestrator.cli.screen import Screen

    options: dict[str, object] = {"--framework": framework, "--workload": workload, "--device": device, "--gpu": gpu}
    options |= {"--engine": engine, "--dataset": dataset, "--repeats": _count(repeats), "--budget": budget}
    options["--retries"] = retries
    base, overrides = requesting.base_request(results, python), requesting.overrides(options, set_)
    request = dataclasses.replace(base, spec=spec, overrides=overrides, resume=resume, address=address)
    if dry_run and json:
        raise UsageError("a dry run has no results to print with --json", hint="leave one of the two out")
    if resume is not None:
        _require_no_selection(request)
    with Screen(verbose=verbose, quiet=quiet) as screen:
        _bench(request, screen, dry_run=dry_run, yes=yes, json=json)


def _require_no_selection(request: Request) -> None:
    """Raise UsageError for a run that is resumed with a spec or with options that choose jobs."""
    named = [str(request.spec)] if request.spec is not None else []
    named += dict.fromkeys(override.origin for override in request.overrides)
    if named:
        command = resume_command(request.resume or "", request.address)
        raise UsageError(
            f"--resume runs what is missing of a run, as it was started: it takes no {', '.join(named)}",
            hint=f"type {command}; or start a new run, without --resume",
        )


def resume_command(run: str, address: str) -> str:
    """The command that runs what is missing of a run, on the same cluster."""
    return f"rosetta bench --resume {run}" + ("" if address == "auto" else f" --address {address}")


def _bench(request: Request, screen: Screen, *, dry_run: bool, yes: bool, json: bool) -> None:
    from orchestrator.cli import consent, session
    from orchestrator.record import run_folder
    from orchestrator.record.runs import find_run
    from orchestrator.run import first_run, preparation

    if request.resume is not None:
        found = find_run(request.results, request.resume)
        folder = run_folder.RunFolder(found.path, found.read_run().id)
        with session.kept_in(folder, request.cache):
            prepared = preparation.resume(request, folder)
            needed = first_run.cost_to_resume(request, folder, prepared)
            preparation.require_room(needed, request, prepared)
            consent.require(needed, request.cache, yes=yes)  # the run may be somebody else's, and so its settings
            _run(request, folder, prepared, screen, json=json)
        return
    prepared = preparation.prepare(request)
    needed = preparation.cost_of(request, prepared)
    if dry_run:
        screen.show_plan(prepared)
        if needed.disk:
            screen.print_line(f"the inputs need {needed.in_words(request.cache)}")
        _say_first(request, prepared, screen)
        return
    folder = preparation.start(request, prepared)
    _say_first(request, prepared, screen)
    if needed.is_much:  # the user's own spec: said, and not asked
        screen.dim(f"the inputs need {needed.in_words(request.cache)}")
    with session.kept_in(folder, request.cache):
        _run(request, folder, prepared, screen, json=json)


def _say_first(request: Request, prepared: PreparedRun, screen: Screen) -> None:
    """Say what the run downloads and builds before its jobs, and how long they took where they were measured."""
    from orchestrator.run import first_run

    for sentence in first_run.of_run(prepared, request.root, request.cache).sentences():
        screen.dim(f"this run {sentence}" if not sentence.startswith(("its", "of")) else sentence)


def _run(request: Request, folder: RunFolder, prepared: PreparedRun, screen: Screen, *, json: bool) -> None:
    """Run what is prepared, and print the tables or the JSON."""
    from orchestrator.cli import session
    from orchestrator.run import preparation

    go_on = resume_command(folder.path.name, request.address)
    with session.progress(screen, folder.path, prepared, go_on=go_on) as listener:
        preparation.run(request, folder, prepared, listener)
    _show(folder, screen, json=json)


def _show(folder: RunFolder, screen: Screen, *, json: bool) -> None:
    """Print a run's tables, or the report's JSON. Raises Exit if a job failed, StoreError if a result is damaged."""
    from orchestrator import files
    from orchestrator.cli import next_steps, selection
    from orchestrator.host import peak
    from orchestrator.report import collected, formats

    sources = selection.sources(folder.path.parent, [str(folder.path)])
    for error in sources.unread:
        screen.warn(error.message)
    measured = peak.load(files.default_cache())
    content = collected.of_runs(sources.runs, place.current().root, sources.origins, sources.own, measured)
    skipped = sum(result.status == "skipped" for result in content.results)
    if json:
        sys.stdout.writelines(formats.load("json").write(content))
    else:
        screen.show_report(content)
        screen.print_line(f"\nstored in {screen.shorten(folder.path)}/" + (f"; {skipped} skipped" if skipped else ""))
        screen.show_steps(next_steps.after(content, [folder.id]))
    if content.damaged:
        raise collected.left_out(content.damaged)
    if any(result.status not in {"ok", "skipped"} for result in content.results):
        raise typer.Exit(EXIT_JOBS_FAILED)


def _count(repeats: str | None) -> int | str | None:
    """The value of --repeats, as an integer if it is one. The spec rejects any other text except auto."""
    return int(repeats) if repeats is not None and re.fullmatch("[0-9]{1,9}", repeats) else repeats
