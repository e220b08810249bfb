"""The command line: one function per verb. The only place that prints errors and decides the exit code.

Heavy modules are imported by the verb that needs them, so that --help and a mistyped option answer at once.
"""

from __future__ import annotations

import contextlib
import gc
import os
import re
import shlex
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from orchestrator import cli_conformance
from orchestrator.cli_options import (
    DEFAULT_RESULTS,
    EXIT_CODES,
    ROOT,
    JsonOption,
    PythonOption,
    ResultsOption,
    interruptible,
    python_option,
)
from orchestrator.errors import EXIT_JOBS_FAILED, HostError, OrchestratorError, StoreError, UsageError

if TYPE_CHECKING:
    from orchestrator.store import Source

app = typer.Typer(
    help="Runs the same three models in many deep learning frameworks, each in its own pinned environment.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
images_app = typer.Typer(help="Build the images, or see which are built.", no_args_is_help=True)
data_app = typer.Typer(help="Prepare datasets, import your own copies, or see what is there.", no_args_is_help=True)
app.add_typer(images_app, name="images")
app.add_typer(data_app, name="data")
app.add_typer(cli_conformance.app)


class DatasetName(str, Enum):
    """Datasets a person can prepare."""

    cifar10 = "cifar10"
    imdb = "imdb"


class Format(str, Enum):
    """How `report` writes."""

    table = "table"
    markdown = "markdown"
    csv = "csv"
    json = "json"
    html = "html"


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Stored results hold no cycles. Looking for some, again and again, took a third of the time of a large report."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


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
    from orchestrator import bench as benching
    from orchestrator import files, selection
    from orchestrator.screen import Screen
    from orchestrator.spec import Override, parse_setting

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
    request = benching.Request(
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
        folder, prepared = benching.resume(request, screen.warn)
    else:
        prepared = benching.prepare(request, screen.warn)
        if dry_run:
            screen.show_plan(prepared)
            return
        folder = benching.start(request, prepared)
    screen.show_start(folder.path, prepared)
    with interruptible(f"orchestrator bench --resume {folder.id}"), screen.live(verbose=verbose) as listener:
        benching.run(request, folder, prepared, listener, screen.warn)
    measured = folder.results()
    screen.show_report(measured, ROOT, selection.certificates_of([folder], lambda error: screen.warn(error.message)))
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
    from orchestrator import catalog, listing
    from orchestrator.screen import Screen

    frameworks = listing.frameworks(catalog.load(ROOT))
    if json:
        Screen().print_json(frameworks)
    else:
        Screen().show_rows("Frameworks", [{k: v for k, v in row.items() if k != "variants"} for row in frameworks])


@images_app.command("build")
def images_build(
    image: Annotated[Optional[list[str]], typer.Argument(help="names; all images when none is given")] = None,
    variant: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
) -> None:
    """Build images, each from its Dockerfile and hash-locked requirements. An image that is built is left alone.

    \b
    Examples:
      orchestrator images build numpy
      orchestrator images build pytorch --variant cuda
    """
    from orchestrator import catalog, images
    from orchestrator.screen import Screen

    screen = Screen()
    for chosen in catalog.load(ROOT).select(image or ()):
        screen.say(f"{images.build(chosen, variant, log=screen.dim)} is built")


@images_app.command("ls")
def images_ls(
    image: Annotated[Optional[list[str]], typer.Argument(help="names; all images when none is given")] = None,
    json: JsonOption = False,
) -> None:
    """Show every image, its variants, and what is built.

    \b
    Examples:
      orchestrator images ls
      orchestrator images ls numpy --json
    """
    from orchestrator import catalog, listing
    from orchestrator.screen import Screen

    images = listing.images(catalog.load(ROOT).select(image or ()))
    if json:
        Screen().print_json(images)
    else:
        Screen().show_rows("Images", images)


@data_app.command("prepare")
def data_prepare(
    name: Annotated[Optional[list[DatasetName]], typer.Argument(help="both when none is given")] = None,
    synthetic: Annotated[bool, typer.Option("--synthetic", help="make the stand-in instead of downloading")] = False,
) -> None:
    """Download the official datasets, verify their checksums and prepare them.

    \b
    Examples:
      orchestrator data prepare
      orchestrator data prepare cifar10 --synthetic
    """
    from orchestrator import datasets, files
    from orchestrator.screen import Screen

    screen = Screen()
    for each in name or DatasetName:
        prepared = datasets.resolve(
            each.value,
            "synthetic" if synthetic else "official",
            cache=files.default_cache(),
            notify=screen.warn,
        )
        screen.say(f"{prepared.label} is in {screen.shorten(prepared.folder)}")


@data_app.command("import")
def data_import(
    name: Annotated[DatasetName, typer.Argument()],
    folder: Annotated[Path, typer.Argument(help="holds x_train.npy, y_train.npy, x_test.npy and y_test.npy")],
) -> None:
    """Use arrays you prepared yourself. Results made from them are labelled "imported".

    \b
    cifar10: x uint8 (n, 3, 32, 32), y integer 0 to 9. imdb: x int32 (n, 150) token ids, y integer 0 or 1.

    \b
    Example:
      orchestrator data import cifar10 ~/my-cifar10
    """
    from orchestrator import datasets, files
    from orchestrator.screen import Screen

    screen = Screen()
    prepared = datasets.import_(name.value, folder, cache=files.default_cache())
    screen.say(f"{prepared.label} is in {screen.shorten(prepared.folder)}")


@data_app.command("ls")
def data_ls(json: JsonOption = False) -> None:
    """Show the datasets that are ready.

    \b
    Examples:
      orchestrator data ls
      orchestrator data ls --json
    """
    from orchestrator import files, listing
    from orchestrator.screen import Screen

    found = listing.datasets(files.default_cache())
    if json:
        Screen().print_json(found)
    elif found:
        Screen().show_rows("Datasets", found)
    else:
        Screen().say("no dataset is prepared yet: `orchestrator data prepare`")


@app.command()
@_without_garbage_collection()
def report(
    run: Annotated[
        Optional[list[str]], typer.Argument(help="run ids, folders or capsules; the latest run when none is given")
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="how to write it")] = Format.table,
    output: Annotated[Optional[Path], typer.Option("-o", "--output", help="write to this file", metavar="FILE")] = None,
    open_: Annotated[
        bool, typer.Option("--open", help="write the HTML report beside the run, or to -o, and show it")
    ] = False,
    capsule: Annotated[
        Optional[Path],
        typer.Option(help="also write specs, results and provenance into one file, for `reproduce`", metavar="FILE"),
    ] = None,
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Print the tables of one or more runs, again and in other forms.

    CSV is written result by result, of any number of runs in the same memory. The other forms, whose tables compare all
    results, hold what differs among them: 7 to 13 MB for 1,000.

    \b
    Examples:
      orchestrator report
      orchestrator report --format markdown -o table.md
      orchestrator report --format html -o report.html
      orchestrator report --open
      orchestrator report 20261123-140000-quick-pytorch 20261123-150000-quick-numpy --format csv
      orchestrator report --capsule capsule.json
    """
    from orchestrator import browser, selection, sharing
    from orchestrator import capsule as capsules
    from orchestrator.screen import Screen

    if open_ and format_ not in {Format.table, Format.html}:
        raise UsageError(f"--open shows the HTML report, not {format_.value}", hint="leave --format out")
    runs = [source for name in run or (None,) for source in selection.sources(results, name)]
    screen = Screen()
    unread: list[StoreError] = []
    verified = selection.certificates_of(runs, unread.append)
    damaged = list(unread)
    measured = (result for source in runs for result in source.each_result(damaged.append))
    if open_ or format_ is Format.html:
        path = output or _beside(runs)
        _write(path, [screen.render_page(runs, ROOT, verified, damaged.append)])
        screen.say(f"the report is in {screen.shorten(path)}")
        if open_ and not browser.show(path):
            screen.warn("there is no browser here to show it in: copy the file to a machine that has one")
    elif output is not None:
        _write(output, screen.render_report(measured, ROOT, format_.value, verified))
    elif format_ is Format.table:
        screen.show_report(list(sharing.shared(measured)), ROOT, verified)
    else:
        sys.stdout.writelines(screen.render_report(measured, ROOT, format_.value, verified))
    if capsule is not None:
        damaged[:] = unread  # the others are met again
        kept = [capsules.kept(source, verified, damaged.append) for source in runs]
        capsules.write(capsule, kept)
        screen.dim(f"{sum(len(each.results) for each in kept)} results are in {capsule}")
    if damaged:
        raise StoreError(
            "\n".join(["left out of this report:", *(error.message for error in damaged)]), hint=damaged[0].hint
        )


@app.command(
    epilog="Exit codes: 0 reproduced · 1 a job is slower, faster, or of different accuracy · 4 of some nobody can tell"
    " · 2, 8 as elsewhere"
)
def reproduce(
    result: Annotated[Path, typer.Argument(help="a result file, results/RUN/JOB.json, or a capsule", metavar="RESULT")],
    framework: Annotated[
        Optional[list[str]], typer.Option(help="of a capsule: only this framework (repeatable)")
    ] = None,
    workload: Annotated[Optional[list[str]], typer.Option(help="of a capsule: only this workload (repeatable)")] = None,
    job: Annotated[
        Optional[list[str]], typer.Option(help="of a capsule: only this job, e.g. numpy-cnn-cpu (repeatable)")
    ] = None,
    repeats: Annotated[int, typer.Option(min=2, max=100, help="run each job this often")] = 3,
    allow_different_code: Annotated[
        bool, typer.Option("--allow-different-code", help="judge although workload code, lock or versions are others")
    ] = False,
    python: PythonOption = None,
    json: JsonOption = False,
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Run stored jobs again on this machine and say whether their figures come out as they were.

    Of a capsule that is every job in it that has figures, unless options name some.

    Spec, seed, weights, data, workload code and lock must be the same; what they are compared by is their sha256.

    \b
    Examples:
      orchestrator reproduce results/20261123-140000-quick/numpy-cnn-cpu-1.json
      orchestrator reproduce capsule.json
      orchestrator reproduce capsule.json --framework numpy --workload cnn --repeats 5
    """
    from orchestrator import bench as benching
    from orchestrator import capsule, files, rerun
    from orchestrator import reproduce as judging
    from orchestrator.screen import Screen

    cells = judging.cells_of(
        capsule.results_in(result),
        str(result),
        jobs=job or (),
        frameworks=framework or (),
        workloads=workload or (),
    )
    screen = Screen()
    request = benching.Request(
        root=ROOT, results=results, cache=files.default_cache(), pythons=dict(map(python_option, python or ()))
    )
    answers, waiting = [], []
    for originals in cells:  # every one before the first runs: who waits for hours learns at once what cannot be
        found = rerun.prepare(request, originals, repeats, screen.warn, allow_different_code=allow_different_code)
        if isinstance(found, rerun.Ready):
            waiting.append(found)
        else:
            answers.append(judging.Answer(job=originals[0].job.id, verdict=found))
            screen.show_answer(answers[-1], json=json)
    for place, ready in enumerate(waiting):
        folder = benching.start(ready.request, ready.prepared)
        screen.show_start(folder.path, ready.prepared)
        left = [f"--job={judging.name_of(each.originals[0])}" for each in waiting[place:]]
        command = shlex.join(["orchestrator", "reproduce", str(result), *(left if len(cells) > 1 else ())])
        with interruptible(command), screen.live(verbose=False) as listener:
            verdict = rerun.run(ready, folder, listener, screen.warn, allow_different_code=allow_different_code)
        answers.append(judging.Answer(job=ready.originals[0].job.id, verdict=verdict, run=folder.path))
        screen.show_answer(answers[-1], json=json)
    screen.show_answers(answers, json=json)
    words = {answer.verdict.word for answer in answers}
    if words != {"REPRODUCED"}:
        raise typer.Exit(HostError.exit_code if words <= {"REPRODUCED", "CANNOT"} else EXIT_JOBS_FAILED)


@app.command(epilog="Exit codes: 0 compared · 1 a cell is slower than --fail-on-slower allows · 2, 8 as elsewhere")
def compare(
    a: Annotated[str, typer.Argument(help="a run, RUN:FRAMEWORK, a result file, or a framework of the latest run")],
    b: Annotated[str, typer.Argument(help="what to compare with it")],
    fail_on_slower: Annotated[
        Optional[str], typer.Option(help="exit with 1 when a cell of B is surely slower by more", metavar="PERCENT")
    ] = None,
    json: JsonOption = False,
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Say, cell by cell, whether B is slower or faster than A, the same, or not to be compared, and what differs.

    \b
    Examples:
      orchestrator compare pytorch tensorflow
      orchestrator compare 20261123-140000-quick 20261124-140000-quick --fail-on-slower 5%
      orchestrator compare OLD:numpy NEW:numpy --json
    """
    from orchestrator import compare as comparing
    from orchestrator import selection, stats
    from orchestrator.report import comparison
    from orchestrator.screen import Screen

    limit = None if fail_on_slower is None else _per_cent("--fail-on-slower", fail_on_slower)
    before, after = selection.select(results, a), selection.select(results, b)
    found = comparing.compare(before.results, after.results, stats.MARGIN)
    if json:
        Screen().print_json(comparison.as_json(found, before.label, after.label, stats.MARGIN, limit))
    else:
        Screen().show_comparison(found, before.label, after.label, limit)
    if limit is not None and any(cell.slower_than(limit) for cell in found.cells):
        raise typer.Exit(EXIT_JOBS_FAILED)


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
    from orchestrator import catalog, files
    from orchestrator import doctor as examining
    from orchestrator.screen import Screen

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

    from orchestrator import files, leftovers
    from orchestrator.screen import Screen

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


def _beside(runs: Sequence[Source]) -> Path:
    """Where the HTML report of one run goes when nobody says where."""
    from orchestrator.store import RunFolder

    if len(runs) > 1 or not isinstance(runs[0], RunFolder):
        raise UsageError("a report of several runs, or of a capsule, belongs to no folder", hint="say where: -o FILE")
    return runs[0].path / "report.html"


def _write(path: Path, parts: Iterable[str]) -> None:
    from orchestrator.files import atomic_file

    try:
        with atomic_file(path) as file:
            file.writelines(part.encode() for part in parts)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror}", hint="name another file with -o") from error


def _per_cent(option: str, text: str) -> float:
    """A percentage such as 5% as a fraction."""
    found = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,3})?)\s*%", text.strip())
    if found is None:
        raise UsageError(f"{option} {text}: not a percentage", hint=f"for example {option} 5%")
    return float(found[1]) / 100
