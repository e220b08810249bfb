"""The verbs about what a framework computes, and how a new one comes in: verify, check, new."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from orchestrator.cli.options import (
    DEFAULT_RESULTS,
    ROOT,
    JsonOption,
    PythonOption,
    ResultsOption,
    interruptible,
    python_option,
)
from orchestrator.engines import registry
from orchestrator.errors import EXIT_JOBS_FAILED, UsageError

app = typer.Typer()

DeviceOption = Annotated[str, typer.Option(help="auto, cpu or gpu")]
EngineOption = Annotated[Optional[str], typer.Option(help=", ".join(filter(registry.is_local, registry.names())))]


@app.command(
    epilog="Exit codes: 0 all cells certified, or different as declared · 1 some are not · 2 to 8 as elsewhere"
)
def verify(
    framework: Annotated[
        Optional[list[str]], typer.Argument(help="all when none is given", metavar="FRAMEWORK")
    ] = None,
    workload: Annotated[
        Optional[list[str]], typer.Option(help="only this workload: cnn, rnn, resnet50 (repeatable)")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, max=200, help="how many training steps are compared")] = 20,
    device: DeviceOption = "cpu",
    engine: EngineOption = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="change any value of configs/verify.yaml, e.g. cnn.batch=16", metavar="KEY=VALUE"),
    ] = None,
    python: PythonOption = None,
    json: JsonOption = False,
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Prove that frameworks compute the same as the NumPy reference, and name the mistake where one does not.

    Every cell trains a few steps from the same weights on the same batches, without dropout, and is compared with the
    reference in float64, to what rounding explains. Certificates are stored in results/certificates/.

    \b
    Examples:
      orchestrator verify
      orchestrator verify pytorch --workload cnn
      orchestrator verify --steps 50 --json
    """
    from orchestrator import files
    from orchestrator.cli.screen import Screen
    from orchestrator.plan.spec import Override, parse_setting
    from orchestrator.run import preparation
    from orchestrator.verify import verifier

    options = {
        "frameworks": ("FRAMEWORK", framework or None),
        "workloads": ("--workload", workload or None),
        "device": ("--device", device),
        "engine": ("--engine", engine),
    }
    told = [
        Override(path=(key,), value=value, origin=name) for key, (name, value) in options.items() if value is not None
    ]
    base = preparation.Request(
        root=ROOT, results=results, cache=files.default_cache(), pythons=dict(map(python_option, python or ()))
    )
    screen = Screen()
    request = verifier.request(base, steps, [*told, *map(parse_setting, set_ or ())])
    prepared = verifier.prepare(request)
    folder = preparation.start(request, prepared)
    screen.show_start(folder.path, prepared)
    with interruptible("orchestrator verify"), screen.live(verbose=False) as listener:
        cells = verifier.Verifier(request, folder, prepared, listener).run()
    screen.show_parity(cells, folder.id, json=json)
    if any(cell.parity.word not in ("certified", "declared") for cell in cells):
        raise typer.Exit(EXIT_JOBS_FAILED)


@app.command(epilog="Exit codes: 0 it conforms · 1 it does not · 2 to 8 as elsewhere")
def check(
    framework: Annotated[str, typer.Argument(help="the framework to check", metavar="FRAMEWORK")],
    device: DeviceOption = "cpu",
    engine: EngineOption = None,
    python: PythonOption = None,
    json: JsonOption = False,
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Ask one framework everything that a row of the tables has to hold to: a minute or two on a CPU.

    Labels and lock, the protocol, a clock that waits for the device, errors that are told as such, the same batches in
    the same order, and the same computation as the reference.

    \b
    Examples:
      orchestrator check pytorch
      orchestrator check mxnet --engine process
    """
    from orchestrator import files
    from orchestrator.cli.screen import Screen
    from orchestrator.plan import catalog
    from orchestrator.plan.spec import Override, did_you_mean
    from orchestrator.run import preparation
    from orchestrator.verify import framework_check, verifier

    known = catalog.load(ROOT)
    if framework not in known.frameworks:
        raise UsageError(
            f"no framework is called {framework!r}{did_you_mean(framework, known.frameworks)}",
            hint="`orchestrator list` shows all; `orchestrator new` begins another",
        )
    screen = Screen()
    findings = list(framework_check.before(ROOT, *known.frameworks[framework]))
    base = preparation.Request(
        root=ROOT, results=results, cache=files.default_cache(), pythons=dict(map(python_option, python or ()))
    )
    told = {"device": ("--device", device), "engine": ("--engine", engine)}
    overrides = [Override(path=(key,), value=value, origin=name) for key, (name, value) in told.items() if value]
    request = framework_check.request(base, framework, overrides)
    prepared = verifier.prepare(request)
    folder = preparation.start(request, prepared)
    screen.show_start(folder.path, prepared)
    with interruptible(f"orchestrator check {framework}"), screen.live(verbose=False) as listener:
        findings += framework_check.by_running(request, prepared, folder, listener)
    screen.show_findings(framework, findings, json=json)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(EXIT_JOBS_FAILED)


@app.command()
def new(
    framework: Annotated[str, typer.Argument(help="the name of its row on the command line", metavar="FRAMEWORK")],
    package: Annotated[
        list[str], typer.Option(help="what to install, the framework first (repeatable)", metavar="NAME==VERSION")
    ],
    title: Annotated[str, typer.Option(help="how tables call it")] = "",
    python: Annotated[str, typer.Option(help="the Python of its image", metavar="VERSION")] = "3.11",
) -> None:
    """Begin a new framework: its image, lock, three workloads and a test, to be filled in.

    \b
    Example:
      orchestrator new tinygrad --title tinygrad --package tinygrad==0.14.0 --package numpy==2.4.6
    """
    import subprocess

    from orchestrator.cli.screen import Screen
    from orchestrator.plan import catalog
    from orchestrator.verify import scaffold

    screen = Screen()
    choice = scaffold.NewFramework(framework=framework, title=title, packages=tuple(package), python=python)
    texts = scaffold.files(choice, catalog.load(ROOT))
    scaffold.write(ROOT, texts)
    for path in texts:
        screen.say(f"  {path}")
    locked = subprocess.run(["ci/lock.sh", framework], cwd=ROOT, check=False).returncode == 0
    screen.show_next(framework, [str(path) for path in texts], locked=locked)
