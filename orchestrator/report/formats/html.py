"""One HTML file with tables, charts and provenance."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.record.results import firsts
from orchestrator.report import curves, html, page, sources
from orchestrator.report.collected import CollectedRun, ReportContent
from orchestrator.report.notices import Measured

FILE_NAME: str | None = "report.html"


def write(content: ReportContent) -> Iterator[str]:
    """The text of the file."""
    trees = sources.trees(content.root, content.results)
    measured = [_measured(each) for each in content.runs]
    yield html.render(page.build(measured, content.studies(), trees, content.known, content.peak))


def _measured(each: CollectedRun) -> Measured:
    """A run with the curves and usage that the charts draw: those of each cell's first successful job."""
    drawn = firsts(each.results)
    return Measured(
        run=each.run,
        results=each.results,
        curves={job: curves.of_events(each.source.events(job)) for job in drawn},
        usage={job: used for job in drawn if (used := each.source.usage(job)) is not None},
        damaged=each.damaged,
    )
