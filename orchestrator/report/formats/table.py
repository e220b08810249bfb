"""Tables as a terminal shows them, without colours; failed jobs are listed below them."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console

from orchestrator.report import terminal
from orchestrator.report.collected import ReportContent

FILE_NAME: str | None = None
WIDTH = 140  # columns


def write(content: ReportContent) -> Iterator[str]:
    """The text of the tables."""
    console = Console(width=WIDTH, no_color=True, highlight=False)
    with console.capture() as capture:
        terminal.show(console, content.tables(), content.results, content.origins, content.verdict)
    yield capture.get()
