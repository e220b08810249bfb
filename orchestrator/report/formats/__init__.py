"""The formats of a report: one module each. `report --format` takes the name of the module.

To add a format, add a module with:

    write(content)    yields the text of the report, piece by piece
    FILE_NAME         None if the report is printed, else the name of the file to write next to the run;
                      --output overrides both
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:  # --help lists the formats, and must be fast
    from orchestrator.report.collected import ReportContent

DEFAULT = "table"
PAGE = "html"  # what --open shows


class ReportFormat(Protocol):
    """The interface of a format's module."""

    FILE_NAME: str | None

    def write(self, content: ReportContent) -> Iterator[str]:
        """The text of a report, piece by piece."""


def names() -> list[str]:
    """The names of all formats."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> ReportFormat:
    """The format called `name`, one of names()."""
    return cast("ReportFormat", importlib.import_module(f"{__name__}.{name}"))
