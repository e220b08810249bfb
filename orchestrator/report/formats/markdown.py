"""Tables as GitHub shows them."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.report import text
from orchestrator.report.collected import ReportContent

FILE_NAME: str | None = None


def write(content: ReportContent) -> Iterator[str]:
    """The text of the tables."""
    yield text.markdown(content.tables(), content.origins, content.verdict)
