"""Tables and results for programs; docs/report.schema.json describes the document."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.report import text
from orchestrator.report.collected import ReportContent

FILE_NAME: str | None = None


def write(content: ReportContent) -> Iterator[str]:
    """The text of the document."""
    yield text.json_text(content.tables(), content.results, content.known, content.origins, content.peak)
