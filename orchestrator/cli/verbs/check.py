"""`rosetta check`: test one framework against everything that a framework must do."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import place
from orchestrator.cli.options import (
    DEFAULT_RESULTS,
    STEPS,
    DeviceOption,
    JsonOption,
    LocalEngineOption,
    PythonOption,
    ResultsOption,
    VerboseOption,
    WorkloadOption,
)
from orchestrator.errors import EXIT_JOBS_FAILED, UsageError

if TYPE_CHECKING:
    from orchestrator.cli.screen import Screen
    from orchestrator.plan.catalog import Catalog
    from orchestrator.run.preparation import Request
    from orchestrator.verify.conformance import Finding

EXIT_CODES = "Exit codes: 0 it conforms · 1 it does not · 2 to 8, 70 and 130 as elsewhere"
CheckedFrameworkArgument = Annotated[str, typer.Argument(help="the framework to check", metavar="FRAMEWORK")]
AgainOption = Annotated[bool, typer.Option("--again", help="also run cells that passed and did not change")]


def command(
    framework: CheckedFrameworkArgument,
    workload: WorkloadOption = None,
    again: AgainOption = False,
    device: DeviceOption = "cpu",
    engine: LocalEngineOption = None,
    python: PythonOption = None,
    json: JsonOption = False,
    results: ResultsOption = DEFAULT_RESULTS,
    verbose: VerboseOption = False,
) -> None:
    """Test one framework against everything that a framework must do. It takes a minute or more on a CPU.

    The tests: labels and lock, the protocol, clocks that wait for the device, failures that are reported, the same
    batches in the same order, and the same computation as the reference. The last one is that of `verify`: it writes
    the certificate. A cell that passed is run again only if something changed that its outcome depends on.

    \b
    Examples:
      rosetta check pytorch
      rosetta check pytorch --workload cnn
      rosetta check mxnet --engine process --again
    """
    from orchestrator.cli import requesting
    from orchestrator.cli.screen import Screen
    from orchestrator.plan import catalog
    from orchestrator.verify import framework_check, verifier

    known = catalog.load(place.current().root)
    _require(framework, known)
    options = {"FRAMEWORK": [framework], "--workload": workload, "--device": device, "--engine": engine}
    base = requesting.base_request(results, python)
    request = verifier.request(base, STEPS, requesting.overrides(options))
    with Screen(verbose=verbose) as screen:
        findings = list(framework_check.before(place.current().root, *known.frameworks[framework]))
        go_on = " ".join(["rosetta check", framework, *(f"--workload {name}" for name in workload or ())])
        findings += _by_running(request, screen, again=again, go_on=go_on)
        screen.show_findings(framework, findings, json=json)
        if not all(finding.ok for finding in findings):
            raise typer.Exit(EXIT_JOBS_FAILED)
        if not json:
            _show_success(framework, known, workload or (), screen)


def _require(framework: str, known: Catalog) -> None:
    """Raise UsageError for a name that no framework has."""
    from orchestrator.text import did_you_mean

    if framework not in known.frameworks:
        raise UsageError(
            f"no framework is called {framework!r}{did_you_mean(framework, known.frameworks)}",
            hint="`rosetta list` shows all; `rosetta new` makes the files of another",
        )


def _show_success(framework: str, known: Catalog, checked: Collection[str], screen: Screen) -> None:
    """Say that a framework passed, as far as it was checked, and what is left to do."""
    from orchestrator.verify import remaining

    row, image = known.frameworks[framework]
    unchecked = [name for name in row.workloads if checked and name not in checked]
    if unchecked:
        screen.print_line(f"\n{framework} conforms in {', '.join(checked)}; not checked now: {', '.join(unchecked)}")
        return
    screen.print_line(f"\n{framework} conforms")
    here = place.current()
    if here.is_checkout:
        screen.show_list("left to do", list(remaining.steps(here.root, row, image)))


def _by_running(request: Request, screen: Screen, *, again: bool, go_on: str) -> list[Finding]:
    """Run the cells of the framework that have not passed yet, and test their results."""
    from orchestrator.cli import session
    from orchestrator.run import preparation
    from orchestrator.verify import verifier
    from orchestrator.verify.framework_check import FrameworkCheck

    check = FrameworkCheck(request, verifier.prepare(request), again=again)
    if not check.prepared.jobs:
        return check.unchanged
    folder = preparation.start(request, check.prepared)
    with (
        session.kept_in(folder, request.cache),
        session.progress(screen, folder.path, check.prepared, go_on=go_on) as listener,
    ):
        return [*check.unchanged, *check.by_running(folder, listener)]
