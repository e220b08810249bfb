"""What to do after a report: the commands that fit its runs. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.cli import place
from orchestrator.record.results import OF_THE_MACHINE, Result
from orchestrator.record.run_folder import Run, RunFolder
from orchestrator.report import certified, verdict
from orchestrator.report.collected import ReportContent

MAX_NAMED = 3  # frameworks in a command


@dataclass(frozen=True, kw_only=True)
class Step:
    """A command, and what it is for."""

    command: str
    why: str


def after(content: ReportContent, words: Sequence[str]) -> list[Step]:
    """The steps after a report of the runs that `words` name; the latest run without any."""
    folders = [each.source for each in content.runs if isinstance(each.source, RunFolder)]
    folder = folders[0] if len(content.runs) == len(folders) == 1 else None
    options = _results_option(folders[0].path.parent) if folders else []
    steps = []
    if any(result.status == "ok" for result in content.results):
        where = ["--open"] if folder else ["--format", "html", "-o", "report.html"]
        why = f"charts, provenance and code, {'in a browser' if folder else 'in one file'}"
        steps.append(Step(command=_line("report", *words, *where, *options), why=why))
    if folder is None:
        return steps
    (only,) = content.runs
    run, measured = only.run, [result for result in only.results if result.status == "ok"]
    steps += _to_verify([each for each in measured if _is_unverified(each, content)], options)
    steps += _to_compare(run, measured, options)
    if any(verdict.AUTO in line.text for line in content.verdict):
        steps += _to_repeat(run)
    if any(result.failure is not None and result.failure.kind in OF_THE_MACHINE for result in only.results):
        command = _line("bench", "--resume", run.id, *options)
        steps.append(Step(command=command, why="runs what this machine made fail again, once the cause is removed"))
    return steps


def _to_verify(unverified: Sequence[Result], options: Sequence[str]) -> Iterator[Step]:
    frameworks = list(dict.fromkeys(result.job.framework for result in unverified))
    workloads = list(dict.fromkeys(result.job.workload for result in unverified))
    if not frameworks:
        return
    named = frameworks if len(frameworks) <= MAX_NAMED else []
    workload = ["--workload", workloads[0]] if len(workloads) == 1 else []
    device = ["--device", "gpu"] if all(result.job.device == "gpu" for result in unverified) else []
    ranks = unverified[0].job.ranks  # the same for all jobs of a run
    parallel = ["--set", f"ranks={ranks}"] if ranks > 1 else []
    command = _line("verify", *named, *workload, *device, *parallel, *options)
    yield Step(command=command, why="proves that these frameworks compute the same as the reference")


def _to_compare(run: Run, measured: Sequence[Result], options: Sequence[str]) -> Iterator[Step]:
    """Compare the two fastest frameworks of the first workload that has two."""
    for workload in dict.fromkeys(result.job.workload for result in measured):
        fastest: dict[str, float] = {}
        for result in measured:
            if result.job.workload == workload and (seconds := result.figures.ranking_s) is not None:
                name = result.job.framework
                fastest[name] = min(seconds, fastest.get(name, seconds))
        if len(fastest) > 1:
            pair = (f"{run.id}:{name}" for name in sorted(fastest, key=fastest.__getitem__)[:2])
            yield Step(command=_line("compare", *pair, *options), why="whether the second is slower than the first")
            return


def _to_repeat(run: Run) -> Iterator[Step]:
    """The command of the run, with repeats; none for a resumed run, or where repeats were set."""
    words = run.command
    if words[1:2] == ("bench",) and not {"--resume", "--repeats"} & {word.partition("=")[0] for word in words}:
        yield Step(command=_line(*words[1:], "--repeats", "auto"), why="repeats the jobs until the order is decided")


def _is_unverified(result: Result, content: ReportContent) -> bool:
    mark = certified.of(result, content.known)
    return mark is None or mark.verdict == "stale"


def _results_option(results: Path) -> list[str]:
    """The option that names the folder of the runs, if it is not the usual one."""
    found = results.resolve()
    if found == place.current().results.resolve():
        return []
    return ["--results", str(found.relative_to(Path.cwd()) if found.is_relative_to(Path.cwd()) else found)]


def _line(*words: str) -> str:
    return shlex.join(["rosetta", *words])
