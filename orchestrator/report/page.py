"""Builds everything that the HTML report shows, as plain data. Pure; html.py writes it."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.host import quotas
from orchestrator.host.peak import Peak
from orchestrator.record.results import Result
from orchestrator.report import cells, certified, failures, notices, sections, verdict
from orchestrator.report.certified import Known
from orchestrator.report.notices import Measured, Notice
from orchestrator.report.published import Studies
from orchestrator.report.sections import Section
from orchestrator.report.sources import SourceFile, Tree
from orchestrator.report.tables import host_by_host, tables
from orchestrator.report.verdict import VerdictLine
from orchestrator.text import MAX_NOTE, clip

# Of the name of a processor: what does not tell models apart.
_DECORATION = re.compile(r"\((?:R|TM)\)|\b(?:CPU|Processor|\d+-Core)\b|@.*", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Failed:
    """Jobs without figures that failed for the same reason."""

    jobs: tuple[str, ...]
    status: str
    kind: str
    message: str
    hint: str
    log: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Page:
    """The whole report."""

    title: str
    verdict: tuple[VerdictLine, ...]
    runs: tuple[cells.Facts, ...]
    warnings: tuple[Notice, ...]
    statuses: tuple[str, ...]
    sections: tuple[Section, ...]
    failures: tuple[Failed, ...]
    cells: tuple[cells.CellDetails, ...]
    sources: tuple[SourceFile, ...]


def build(
    measured: Sequence[Measured],
    studies: Studies,
    trees: Mapping[str, Tree],
    known: Known = certified.NONE,
    peak: Peak | None = None,
) -> Page:
    """The page of some runs; `trees` has the available workload code by its fingerprint, `peak` is of this machine."""
    results = [result for each in measured for result in each.results]
    found, by_host = tables(results, studies, known), host_by_host(results)
    shown = [*sections.of(found, measured, studies), *map(sections.of_hosts, by_host)]
    used = {
        sections.key_of(result): each.usage[result.job.id]
        for each in measured
        for result in each.results
        if result.job.id in each.usage
    }
    behind = [
        cells.cell(row.cell, row.cells[0].text, table.title, same, trees=trees, mark=row.mark, used=used, peak=peak)
        for section, table in zip(shown, [*found, *by_host], strict=True)
        for row, same in zip(section.rows, table.results, strict=True)
    ]
    code = {source.id: source for cell in behind for each in cell.provenance for source in each.sources}
    return Page(
        title=title(measured),
        verdict=verdict.of(results, known),
        runs=tuple(map(_run_facts, measured)),
        warnings=tuple(notices.of(measured)),
        statuses=tuple(dict.fromkeys(row.status for section in shown for row in section.rows)),
        sections=tuple(shown),
        failures=tuple(map(_failed, failures.by_cause(results))),
        cells=tuple(behind),
        sources=tuple(sorted(code.values(), key=lambda source: source.path)),
    )


def title(measured: Sequence[Measured]) -> str:
    """What was measured, where and when, in words."""
    jobs = [job for each in measured for job in each.run.jobs]
    frameworks = list(dict.fromkeys(job.title for job in jobs))
    specs = list(dict.fromkeys(each.run.spec.name for each in measured))
    models = list(dict.fromkeys(name for each in measured for result in each.results for name in _models(result)))
    what = f"{clip(frameworks[0])} measured" if len(frameworks) == 1 else "Deep-learning frameworks compared"
    parts = [
        clip(", ".join(specs)),
        f"{len(frameworks)} frameworks" if len(frameworks) > 1 else "",
        clip(models[0]) if len(models) == 1 else f"{len(models)} kinds of machine" if models else "",
        _days([each.run.began for each in measured]),
    ]
    return f"{what}: {', '.join(filter(None, parts))}"


def _models(result: Result) -> list[str]:
    """The processor that a job ran on, as people say it: of its GPUs if it had any, else of its CPU."""
    host = result.provenance.host
    names = host.models_of(result.job.gpus) if result.job.gpus else [host.cpu] if host.cpu else []
    return list(dict.fromkeys(" ".join(_DECORATION.sub(" ", name).split()) for name in names))


def _days(moments: Sequence[str]) -> str:
    """The day of some moments in ISO 8601, or the first and the last day."""
    days = sorted({day for moment in moments if (day := _day(moment))})
    if not days:
        return ""
    first, last = days[0], days[-1]
    until = f"{last.day} {last:%B %Y}"
    if first == last:
        return until
    since = f"{first.day}" if (first.year, first.month) == (last.year, last.month) else f"{first.day} {first:%B %Y}"
    return f"{since} to {until}"


def _day(moment: str) -> datetime.date | None:
    """The day of a moment as a run folder states it; None if it is no date."""
    try:
        return datetime.date.fromisoformat(moment[:10])
    except ValueError:
        return None


def _run_facts(measured: Measured) -> cells.Facts:
    run = measured.run
    hosts = dict.fromkeys(_host(result) for result in measured.results)
    versions = dict.fromkeys(result.provenance.code.version or "" for result in measured.results)
    facts = {
        "date": run.began[:16].replace("T", " ") + " UTC",
        "host": "; ".join(hosts),
        "engine": run.engine,
        "spec": " · ".join(part for part in (run.spec.name, run.spec.description) if part),
        "command": " ".join(run.command),
        "run by": ", ".join(filter(None, dict.fromkeys(result.provenance.by for result in measured.results))),
        "jobs": f"{len(measured.results):,} of {len(run.jobs):,} have a result",
        "orchestrator": ", ".join(versions),
        "commit": ", ".join(dict.fromkeys(result.provenance.code.git_commit or "" for result in measured.results)),
    }
    return cells.Facts(
        title=clip(run.id), rows=tuple((name, clip(value, MAX_NOTE)) for name, value in facts.items() if value)
    )


def _host(result: Result) -> str:
    host = result.provenance.host
    gpus = [str(gpu.name) for gpu in host.gpus]
    cpus = f"{len(host.cpus_used)} CPUs{quotas.in_words(host.cpu_quota, host.memory_limit)}"
    parts = [host.cpu or "unknown CPU", cpus, *gpus, host.system]
    return ", ".join(part for part in parts if part)


def _failed(results: Sequence[Result]) -> Failed:
    """The common cause of these failures, with the log of the first."""
    reason = results[0].failure
    return Failed(
        jobs=tuple(clip(result.job.id) for result in results),
        status=results[0].status,
        kind=reason.kind.replace("_", " ") if reason else "",
        message=clip(reason.message, 4 * MAX_NOTE) if reason else "",
        hint=clip(reason.hint, MAX_NOTE) if reason else "",
        log=tuple(clip(line, MAX_NOTE) for line in reason.log) if reason else (),
    )
