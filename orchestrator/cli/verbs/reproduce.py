"""`rosetta reproduce`: run stored jobs again and compare their figures with the stored ones."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from orchestrator.cli import mistyped
from orchestrator.cli.consent import YesOption
from orchestrator.cli.options import (
    DEFAULT_RESULTS,
    JsonOption,
    PythonOption,
    ResultsOption,
    VerboseOption,
)
from orchestrator.errors import EXIT_JOBS_FAILED, HostError

if TYPE_CHECKING:
    from orchestrator.cli.screen import Screen
    from orchestrator.cli.selection import Signed
    from orchestrator.judge.reproduction import Answer
    from orchestrator.record.results import Result
    from orchestrator.run.preparation import Request
    from orchestrator.run.repetition import PlannedRepetition, ReadyRepetition

EXIT_CODES = (
    "Exit codes: 0 reproduced · 1 a job is slower, faster, or of different accuracy or loss · 4: some jobs could not be"
    " judged · 9: nothing was started, because it needs too much · 2, 8 and 70 as elsewhere"
)
ResultArgument = Annotated[
    Path, typer.Argument(help="a result file, results/RUN/JOB.json, or a capsule", metavar="RESULT")
]
OnlyFrameworks = Annotated[
    Optional[list[str]], typer.Option("--framework", help="of a capsule: only this framework (repeatable)")
]
OnlyWorkloads = Annotated[
    Optional[list[str]], typer.Option("--workload", help="of a capsule: only this workload (repeatable)")
]
OnlyJobs = Annotated[
    Optional[list[str]], typer.Option("--job", help="of a capsule: only this job, e.g. numpy-cnn-cpu (repeatable)")
]
ReproduceRepeatsOption = Annotated[
    int,
    typer.Option(parser=mistyped.whole_number("--repeats", 2, 100), metavar="N", help="how often each job is run"),
]
DifferentCodeOption = Annotated[
    bool,
    typer.Option(
        "--allow-different-code", help="run even if workload code, lock or versions differ from the stored ones"
    ),
]


def command(
    result: ResultArgument,
    framework: OnlyFrameworks = None,
    workload: OnlyWorkloads = None,
    job: OnlyJobs = None,
    repeats: ReproduceRepeatsOption = 3,
    allow_different_code: DifferentCodeOption = False,
    yes: YesOption = False,
    python: PythonOption = None,
    json: JsonOption = False,
    results: ResultsOption = DEFAULT_RESULTS,
    verbose: VerboseOption = False,
) -> None:
    """Run stored jobs again on this machine and show whether they give the same figures.

    All jobs of a capsule that have figures are run, unless options select some. Spec, seed, weights, data, workload
    code, Dockerfile and lock must have the recorded sha256.

    Before anything is made or runs, it is computed what all of it needs. If that is more than 5 GB in the cache or half
    an hour, by the stored figures, you are asked; building images is not included.

    \b
    Examples:
      rosetta reproduce results/20261123-140000-quick/numpy-cnn-cpu-1.json
      rosetta reproduce capsule.json
      rosetta reproduce capsule.json --framework numpy --workload cnn --repeats 5
    """
    from orchestrator.cli import requesting
    from orchestrator.cli.screen import Screen

    cells, signed = _cells(result, jobs=job or (), frameworks=framework or (), workloads=workload or ())
    request = requesting.base_request(results, python)
    with Screen(verbose=verbose) as screen:
        screen.show_signature(signed)
        impossible, ready = _prepare(
            request, cells, screen, repeats, allow_different_code=allow_different_code, yes=yes
        )
        reproduced = _run(ready, result, screen, whole=len(cells) == 1, allow_different_code=allow_different_code)
        answers = _shown(itertools.chain(impossible, reproduced), screen, json=json)
    if code := _exit_code(answers):
        raise typer.Exit(code)


def _cells(result: Path, **names: Sequence[str]) -> tuple[Sequence[Sequence[Result]], Signed]:
    """The jobs in a file that have one of these names, each with its repeats; and who signed the file."""
    from orchestrator.cli import selection
    from orchestrator.judge import stored_jobs
    from orchestrator.record import capsule

    originals, signed = selection.read_signed(result, capsule.results_in)
    return stored_jobs.cells_of(originals, str(result), **names), signed


def _prepare(
    request: Request,
    cells: Iterable[Sequence[Result]],
    screen: Screen,
    repeats: int,
    *,
    allow_different_code: bool,
    yes: bool,
) -> tuple[list[Answer], list[ReadyRepetition]]:
    """Check all cells before the first one runs: an impossible one is reported at once, not after hours.

    What they cost together is asked before their inputs are made. Raises CostError.
    """
    from orchestrator.judge import reproduction
    from orchestrator.run import repetition

    def impossible(originals: Sequence[Result], verdict: reproduction.ReproductionVerdict) -> None:
        answers.append(reproduction.Answer(job=originals[0].job.id, verdict=verdict))

    answers: list[Answer] = []
    planned, ready = [], []
    for originals in cells:
        plan = repetition.plan(request, originals, repeats, allow_different_code=allow_different_code)
        if isinstance(plan, repetition.PlannedRepetition):
            planned.append(plan)
        else:
            impossible(originals, plan)
    _agree(planned, yes=yes)
    with screen.live() as listener:
        for plan in planned:
            listener.preparing(f"data and weights for {plan.originals[0].job.workload}")
            made = repetition.make_inputs(plan)
            if isinstance(made, repetition.ReadyRepetition):
                ready.append(made)
            else:
                impossible(plan.originals, made)
    return answers, ready


def _agree(planned: Sequence[PlannedRepetition], *, yes: bool) -> None:
    """Ask whether to go on if the repetitions cost much. Raises CostError."""
    from orchestrator.cli import consent
    from orchestrator.run import preparation, repetition

    needed = repetition.cost_of(planned)
    for each in planned:
        preparation.require_room(needed, each.request, each.prepared)
    if planned:
        consent.require(needed, planned[0].request.cache, yes=yes)


def _run(
    cells: Sequence[ReadyRepetition], result: Path, screen: Screen, *, whole: bool, allow_different_code: bool
) -> Iterator[Answer]:
    """Run the repeats of each cell in a run of their own, and judge them. `whole`: `result` has no other cell."""
    from orchestrator.cli import session
    from orchestrator.judge import reproduction
    from orchestrator.run import preparation, repetition

    for place, cell in enumerate(cells):
        folder = preparation.start(cell.request, cell.prepared)
        go_on = _command(result, () if whole else cells[place:])
        with (
            session.kept_in(folder, cell.request.cache),
            session.progress(screen, folder.path, cell.prepared, go_on=go_on) as listener,
        ):
            verdict = repetition.run(cell, folder, listener, allow_different_code=allow_different_code)
        yield reproduction.Answer(job=cell.originals[0].job.id, verdict=verdict, run=folder.path)


def _shown(answers: Iterable[Answer], screen: Screen, *, json: bool) -> list[Answer]:
    """Print each answer as soon as it is known, then all together."""
    shown = []
    for answer in answers:
        screen.show_answer(answer, json=json)
        shown.append(answer)
    screen.show_answers(shown, json=json)
    return shown


def _exit_code(answers: Iterable[Answer]) -> int:
    words = {answer.verdict.word for answer in answers}
    if words == {"REPRODUCED"}:
        return 0
    return HostError.exit_code if words <= {"REPRODUCED", "CANNOT"} else EXIT_JOBS_FAILED


def _command(result: Path, left: Sequence[ReadyRepetition]) -> str:
    """The command that reproduces the cells in `left`, or all of them when there are none."""
    from orchestrator.judge import stored_jobs

    jobs = [f"--job={stored_jobs.name_of(each.originals[0])}" for each in left]
    return shlex.join(["rosetta", "reproduce", str(result), *jobs])
