"""`rosetta verify`: prove that frameworks compute the same as the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Optional

import typer

from orchestrator.cli import mistyped
from orchestrator.cli.options import (
    DEFAULT_RESULTS,
    STEPS,
    DeviceOption,
    JsonOption,
    LocalEngineOption,
    PythonOption,
    ResultsOption,
    SetOption,
    VerboseOption,
    WorkloadOption,
)
from orchestrator.errors import EXIT_JOBS_FAILED

if TYPE_CHECKING:
    from orchestrator.cli.screen import Screen
    from orchestrator.run.preparation import Request

EXIT_CODES = (
    "Exit codes: 0 all cells certified, or different as declared · 1 some are not · 2 to 8, 70 and 130 as elsewhere"
)
FrameworksArgument = Annotated[Optional[list[str]], typer.Argument(help="all when none is given", metavar="FRAMEWORK")]
StepsOption = Annotated[
    int,
    typer.Option(
        parser=mistyped.whole_number("--steps", 1, 200), metavar="N", help="how many training steps are compared"
    ),
]


def command(
    framework: FrameworksArgument = None,
    workload: WorkloadOption = None,
    steps: StepsOption = STEPS,
    device: DeviceOption = "cpu",
    engine: LocalEngineOption = None,
    set_: SetOption = None,
    python: PythonOption = None,
    json: JsonOption = False,
    results: ResultsOption = DEFAULT_RESULTS,
    verbose: VerboseOption = False,
) -> None:
    """Prove that frameworks compute the same as the NumPy reference, or name the mistake that explains the difference.

    Every cell trains a few steps without dropout, from the same weights on the same batches as the reference, which
    computes in float64. The two may differ by no more than rounding explains.
    Certificates are stored in results/certificates/.

    \b
    Examples:
      rosetta verify
      rosetta verify pytorch --workload cnn
      rosetta verify --steps 50 --json
    """
    from orchestrator.cli import requesting
    from orchestrator.cli.screen import Screen
    from orchestrator.verify import verifier

    options = {"FRAMEWORK": framework, "--workload": workload, "--device": device, "--engine": engine}
    base = requesting.base_request(results, python)
    request = verifier.request(base, steps, requesting.overrides(options, set_))
    with Screen(verbose=verbose) as screen:
        if not _verify(request, screen, json=json):
            raise typer.Exit(EXIT_JOBS_FAILED)


def _verify(request: Request, screen: Screen, *, json: bool) -> bool:
    """Run and judge all cells; return whether each is certified, or different as declared."""
    from orchestrator.cli import session
    from orchestrator.run import preparation
    from orchestrator.verify import verifier

    prepared = verifier.prepare(request)
    folder = preparation.start(request, prepared)
    with session.kept_in(folder, request.cache):
        with session.progress(screen, folder.path, prepared, go_on="rosetta verify") as listener:
            cells = verifier.Verifier(request, folder, prepared, listener).run()
        screen.show_parity(cells, folder.id, json=json)
    return all(cell.parity.word in {"certified", "declared"} for cell in cells)
