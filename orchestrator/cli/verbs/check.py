"""`orchestrator check`: test one framework against everything that a framework must do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import place
from orchestrator.cli.options import (
    DEFAULT_RESULTS,
    DeviceOption,
    JsonOption,
    LocalEngineOption,
    PythonOption,
    ResultsOption,
    VerboseOption,
)
from orchestrator.errors import EXIT_JOBS_FAILED, UsageError

if TYPE_CHECKING:
    from orchestrator.cli.screen import Screen
    from orchestrator.plan.catalog import Catalog
    from orchestrator.run.preparation import Request
    from orchestrator.verify.conformance import Finding

EXIT_CODES = "Exit codes: 0 it conforms · 1 it does not · 2 to 8, 70 and 130 as elsewhere"
CheckedFrameworkArgument = Annotated[str, typer.Argument(help="the framework to check", metavar="FRAMEWORK")]


def command(
    framework: CheckedFrameworkArgument,
    device: DeviceOption = "cpu",
    engine: LocalEngineOption = None,
    python: PythonOption = None,
    json: JsonOption = False,
    results: ResultsOption = DEFAULT_RESULTS,
    verbose: VerboseOption = False,
) -> None:
    """Test one framework against everything that a framework must do. It takes a minute or more on a CPU.

    The tests: labels and lock, the protocol, clocks that wait for the device, failures that are reported, the same
    batches in the same order, and the same computation as the reference.

    \b
    Examples:
      orchestrator check pytorch
      orchestrator check mxnet --engine process
    """
    from orchestrator.cli import requesting
    from orchestrator.cli.screen import Screen
    from orchestrator.plan import catalog
    from orchestrator.verify import framework_check

    known = catalog.load(place.current().root)
    _require(framework, known)
    overrides = requesting.overrides({"--device": device, "--engine": engine})
    request = framework_check.request(requesting.base_request(results, python), framework, overrides)
    with Screen(verbose=verbose) as screen:
        findings = list(framework_check.before(place.current().root, *known.frameworks[framework]))
        findings += _by_running(request, framework, screen)
        screen.show_findings(framework, findings, json=json)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(EXIT_JOBS_FAILED)


def _require(framework: str, known: Catalog) -> None:
    """Raise UsageError for a name that no framework has."""
    from orchestrator.text import did_you_mean

    if framework not in known.frameworks:
        raise UsageError(
            f"no framework is called {framework!r}{did_you_mean(framework, known.frameworks)}",
            hint="`orchestrator list` shows all; `orchestrator new` makes the files of another",
        )


def _by_running(request: Request, framework: str, screen: Screen) -> list[Finding]:
    """Run the framework's jobs and test their results."""
    from orchestrator.cli import session
    from orchestrator.run import preparation
    from orchestrator.verify import framework_check, verifier

    prepared = verifier.prepare(request)
    folder = preparation.start(request, prepared)
    go_on = f"orchestrator check {framework}"
    with (
        session.kept_in(folder, request.cache),
        session.progress(screen, folder.path, prepared, go_on=go_on) as listener,
    ):
        return list(framework_check.by_running(request, prepared, folder, listener))
