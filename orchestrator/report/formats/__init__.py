"""The forms of a report: one module each, whose name is what `report --format` calls it.

To add a form, add a module. It has

    write(content)    yields the text of the report, piece by piece
    FILE_NAME         None for a form that is printed, else the name of the file beside the run that it is
                      written to; --output overrides both
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:  # the command line lists the forms in its help, which has to be quick
    from orchestrator.report.collected import ReportContent

DEFAULT = "table"
PAGE = "html"  # what --open shows


class ReportFormat(Protocol):
    """What a form's module has."""

    FILE_NAME: str | None

    def write(self, content: ReportContent) -> Iterator[str]:
        """The text of a report, piece by piece."""


def names() -> list[str]:
    """The names of all forms."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> ReportFormat:
    """The form called `name`, one of names()."""
    return cast("ReportFormat", importlib.import_module(f"{__name__}.{name}"))
