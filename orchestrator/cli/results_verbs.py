"""The verbs about what was measured: report, compare, reproduce."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

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
from orchestrator.errors import EXIT_JOBS_FAILED, HostError, StoreError, UsageError

if TYPE_CHECKING:
    from orchestrator.record.run_folder import RunSource

app = typer.Typer()


class ReportFormat(str, Enum):
    """How `report` writes."""

    table = "table"
    markdown = "markdown"
    csv = "csv"
    json = "json"
    html = "html"


@app.command()
def report(
    run: Annotated[
        Optional[list[str]], typer.Argument(help="run ids, folders or capsules; the latest run when none is given")
    ] = None,
    format_: Annotated[ReportFormat, typer.Option("--format", help="how to write it")] = ReportFormat.table,
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

    \b
    Examples:
      orchestrator report
      orchestrator report --format markdown -o table.md
      orchestrator report --format html -o report.html
      orchestrator report --open
      orchestrator report 20261123-140000-quick-pytorch 20261123-150000-quick-numpy --format csv
      orchestrator report --capsule capsule.json
    """
    from orchestrator.cli import selection
    from orchestrator.cli.screen import Screen
    from orchestrator.judge import conditions
    from orchestrator.record import capsule as capsules
    from orchestrator.record.results import split_damaged
    from orchestrator.report import browser, reading

    if open_ and format_ not in {ReportFormat.table, ReportFormat.html}:
        raise UsageError(f"--open shows the HTML report, not {format_.value}", hint="leave --format out")
    runs = [source for name in run or (None,) for source in selection.sources(results, name)]
    screen = Screen()
    verified, damaged = selection.certificates_of(runs)
    if open_ or format_ is ReportFormat.html:
        path = output or _beside(runs)
        measured = [reading.measured(source) for source in runs]
        damaged += (error for each in measured for error in each.damaged)
        _write(path, [screen.render_page(measured, ROOT, verified)])
        screen.say(f"the report is in {screen.shorten(path)}")
        if open_ and not browser.show(path):
            screen.warn("there is no browser here to show it in: copy the file to a machine that has one")
    else:
        found = (each for source in runs for each in conditions.sound(source.each_result(), source.id))
        shown, unreadable = split_damaged(found)
        damaged += unreadable
        if output is not None:
            _write(output, screen.render_report(shown, ROOT, format_.value, verified))
        elif format_ is ReportFormat.table:
            screen.show_report(shown, ROOT, verified)
        else:
            sys.stdout.writelines(screen.render_report(shown, ROOT, format_.value, verified))
    if capsule is not None:
        kept = [capsules.kept(source, verified)[0] for source in runs]  # its errors are in `damaged` already
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

    Spec, seed, weights, data, workload code, Dockerfile and lock must be the same; what they are compared by is their
    sha256.

    \b
    Examples:
      orchestrator reproduce results/20261123-140000-quick/numpy-cnn-cpu-1.json
      orchestrator reproduce capsule.json
      orchestrator reproduce capsule.json --framework numpy --workload cnn --repeats 5
    """
    from orchestrator import files
    from orchestrator.cli.screen import Screen
    from orchestrator.judge import reproduction, stored_jobs
    from orchestrator.record import capsule
    from orchestrator.run import preparation, repetition

    cells = stored_jobs.cells_of(
        capsule.results_in(result),
        str(result),
        jobs=job or (),
        frameworks=framework or (),
        workloads=workload or (),
    )
    screen = Screen()
    request = preparation.Request(
        root=ROOT, results=results, cache=files.default_cache(), pythons=dict(map(python_option, python or ()))
    )
    answers, waiting = [], []
    for originals in cells:  # every one before the first runs: who waits for hours learns at once what cannot be
        found = repetition.prepare(request, originals, repeats, screen.warn, allow_different_code=allow_different_code)
        if isinstance(found, repetition.ReadyRepetition):
            waiting.append(found)
        else:
            answers.append(reproduction.Answer(job=originals[0].job.id, verdict=found))
            screen.show_answer(answers[-1], json=json)
    for place, ready in enumerate(waiting):
        folder = preparation.start(ready.request, ready.prepared)
        screen.show_start(folder.path, ready.prepared)
        left = [f"--job={stored_jobs.name_of(each.originals[0])}" for each in waiting[place:]]
        command = shlex.join(["orchestrator", "reproduce", str(result), *(left if len(cells) > 1 else ())])
        with interruptible(command), screen.live(verbose=False) as listener:
            verdict = repetition.run(ready, folder, listener, screen.warn, allow_different_code=allow_different_code)
        answers.append(reproduction.Answer(job=ready.originals[0].job.id, verdict=verdict, run=folder.path))
        screen.show_answer(answers[-1], json=json)
    screen.show_answers(answers, json=json)
    words = {answer.verdict.word for answer in answers}
    if words != {"REPRODUCED"}:
        raise typer.Exit(HostError.exit_code if words <= {"REPRODUCED", "CANNOT"} else EXIT_JOBS_FAILED)


@app.command(
    epilog="Exit codes: 0 compared · 1 with --fail-on-slower, a cell is slower than that, or lost · 2, 8 as elsewhere"
)
def compare(
    a: Annotated[
        str, typer.Argument(help="a run, RUN:FRAMEWORK, a result file, a capsule, or a framework of the latest run")
    ],
    b: Annotated[str, typer.Argument(help="what to compare with it")],
    fail_on_slower: Annotated[
        Optional[str],
        typer.Option(help="exit with 1 when a cell of B is surely slower by more, or B has none", metavar="PERCENT"),
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
    from orchestrator.cli import selection
    from orchestrator.cli.screen import Screen
    from orchestrator.judge import comparison, stats
    from orchestrator.report import comparison_text

    limit = None if fail_on_slower is None else _per_cent("--fail-on-slower", fail_on_slower)
    before, after = selection.select(results, a), selection.select(results, b)
    found = comparison.compare(before.results, after.results, stats.MARGIN)
    if json:
        Screen().print_json(comparison_text.as_json(found, before.label, after.label, stats.MARGIN, limit))
    else:
        Screen().show_comparison(found, before.label, after.label, limit)
    if limit is not None and any(cell.lost or cell.slower_than(limit) for cell in found.cells):
        raise typer.Exit(EXIT_JOBS_FAILED)


def _beside(runs: Sequence[RunSource]) -> Path:
    """Where the HTML report of one run goes when nobody says where."""
    from orchestrator.record.run_folder import RunFolder

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
