"""`orchestrator bench`: run a spec and print its tables."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from orchestrator.cli.consent import YesOption
from orchestrator.cli.options import (
    DEFAULT_RESULTS,
    ROOT,
    DeviceOption,
    FrameworkOption,
    PythonOption,
    ResultsOption,
    SetOption,
    VerboseOption,
    WorkloadOption,
)
from orchestrator.engines import registry
from orchestrator.errors import EXIT_JOBS_FAILED

if TYPE_CHECKING:
    from orchestrator.cli.screen import Screen
    from orchestrator.record.run_folder import RunFolder
    from orchestrator.run.preparation import PreparedRun, Request

SpecArgument = Annotated[
    Optional[Path],
    typer.Argument(help="a YAML spec; by default configs/quick.yaml, on a GPU configs/seed.yaml", metavar="SPEC"),
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
RetriesOption = Annotated[Optional[int], typer.Option(help="run a failed job up to N more times", metavar="N")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="show the jobs and stop")]
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
    results: ResultsOption = DEFAULT_RESULTS,
    verbose: VerboseOption = False,
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
    from orchestrator.cli import requesting
    from orchestrator.cli.screen import Screen

    options: dict[str, object] = {"--framework": framework, "--workload": workload, "--device": device, "--gpu": gpu}
    options |= {"--engine": engine, "--dataset": dataset, "--repeats": _count(repeats), "--budget": budget}
    options["--retries"] = retries
    base, overrides = requesting.base_request(results, python), requesting.overrides(options, set_)
    request = dataclasses.replace(base, spec=spec, overrides=overrides, resume=resume, address=address)
    with Screen(verbose=verbose) as screen:
        _bench(request, screen, dry_run=dry_run, yes=yes)


def resume_command(run: str, address: str) -> str:
    """The command that runs what is missing of a run, on the same cluster."""
    return f"orchestrator bench --resume {run}" + ("" if address == "auto" else f" --address {address}")


def _bench(request: Request, screen: Screen, *, dry_run: bool, yes: bool) -> None:
    from orchestrator.cli import consent, session
    from orchestrator.record import run_folder
    from orchestrator.run import preparation

    if request.resume is not None:
        found = run_folder.find(request.results, request.resume)
        folder = run_folder.RunFolder(found.path, found.read_run().id)
        with session.kept_in(folder, request.cache):
            prepared = preparation.resume(request, folder)
            needed = preparation.cost_of(request, prepared)
            preparation.require_room(needed, request, prepared)
            consent.require(needed, request.cache, yes=yes)  # the run may be somebody else's, and so its settings
            _run(request, folder, prepared, screen)
        return
    prepared = preparation.prepare(request)
    needed = preparation.cost_of(request, prepared)
    if dry_run:
        screen.show_plan(prepared)
        if needed.disk:
            screen.print_line(f"the inputs need {needed.in_words(request.cache)}")
        return
    folder = preparation.start(request, prepared)
    if needed.is_much:  # the user's own spec: said, and not asked
        screen.dim(f"the inputs need {needed.in_words(request.cache)}")
    with session.kept_in(folder, request.cache):
        _run(request, folder, prepared, screen)


def _run(request: Request, folder: RunFolder, prepared: PreparedRun, screen: Screen) -> None:
    """Run what is prepared, and print the tables."""
    from orchestrator.cli import session
    from orchestrator.run import preparation

    go_on = resume_command(folder.path.name, request.address)
    with session.progress(screen, folder.path, prepared, go_on=go_on) as listener:
        preparation.run(request, folder, prepared, listener)
    _show(folder, screen)


def _show(folder: RunFolder, screen: Screen) -> None:
    """Print the tables of a run. Raises Exit if a job failed, StoreError if a result is damaged."""
    from orchestrator.cli import next_steps, selection
    from orchestrator.report import collected

    sources = selection.sources(folder.path.parent, [str(folder.path)])
    for error in sources.unread:
        screen.warn(error.message)
    content = collected.of_runs(sources.runs, ROOT, sources.origins, sources.own)
    screen.show_report(content)
    skipped = sum(result.status == "skipped" for result in content.results)
    screen.print_line(f"\nstored in {screen.shorten(folder.path)}/" + (f"; {skipped} skipped" if skipped else ""))
    screen.show_steps(next_steps.after(content, [folder.id]))
    if content.damaged:
        raise collected.left_out(content.damaged)
    if any(result.status not in {"ok", "skipped"} for result in content.results):
        raise typer.Exit(EXIT_JOBS_FAILED)


def _count(repeats: str | None) -> int | str | None:
    """The value of --repeats, as an integer if it is one. The spec rejects any other text except auto."""
    return int(repeats) if repeats is not None and re.fullmatch("[0-9]{1,9}", repeats) else repeats
