"""Builds everything that the HTML report shows, as plain data. Pure; html.py writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.host import quotas
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
    measured: Sequence[Measured], studies: Studies, trees: Mapping[str, Tree], known: Known = certified.NONE
) -> Page:
    """The page of some runs; `trees` holds the available workload code by its fingerprint."""
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
        cells.cell(row.cell, row.cells[0].text, table.title, same, trees=trees, mark=row.mark, used=used)
        for section, table in zip(shown, [*found, *by_host], strict=True)
        for row, same in zip(section.rows, table.results, strict=True)
    ]
    code = {source.id: source for cell in behind for each in cell.provenance for source in each.sources}
    return Page(
        title=", ".join(clip(each.run.id) for each in measured[:3]) + (" …" if len(measured) > 3 else ""),
        verdict=verdict.of(results, known),
        runs=tuple(map(_run_facts, measured)),
        warnings=tuple(notices.of(measured)),
        statuses=tuple(dict.fromkeys(row.status for section in shown for row in section.rows)),
        sections=tuple(shown),
        failures=tuple(map(_failed, failures.by_cause(results))),
        cells=tuple(behind),
        sources=tuple(sorted(code.values(), key=lambda source: source.path)),
    )


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
