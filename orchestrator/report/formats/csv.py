"""One line for each result, for spreadsheets."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.report import text
from orchestrator.report.collected import ReportContent

FILE_NAME: str | None = None


def write(content: ReportContent) -> Iterator[str]:
    """The lines, a header first."""
    yield from text.csv_lines(content.results, content.known, content.origins)
