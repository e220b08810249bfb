"""The JSON report as a type: what a program may rely on.

docs/report.schema.json is made from it:

    python -m orchestrator.report.document > docs/report.schema.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.record.results import Result
from orchestrator.report.certified import MarkWord
from orchestrator.report.table import Doubtful, Measurement, Table


class TableDocument(BaseModel):
    """A table as it is shown, its numbers unrounded."""

    model_config = ConfigDict(extra="forbid")

    title: str
    conditions: list[str] = Field(description="what holds for all rows, in words")
    columns: list[str]
    rows: list[list[str | float | Measurement | Doubtful | None]] = Field(
        description="text, a number, null where there is nothing, a median with its interval where n jobs were run; "
        "or one of these as `doubtful`, where it is none to be trusted"
    )
    notes: list[str]
    certificates: list[MarkWord | None] = Field(description="what `orchestrator verify` found of each row, if anything")


class ReportDocument(BaseModel):
    """What `orchestrator report --format json` writes."""

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[1] = 1
    tables: list[TableDocument]
    results: list[Result] = Field(description="all that the tables were made from")
    certificates: list[MarkWord | None] = Field(
        description="of each result: certified to compute the same as the reference; known to compute something else, "
        "which its own notes declare and explain wholly (declared) or not (diverges); or only verified in another "
        "environment or with other code or weights (stale); null where nothing is known"
    )


def of(tables: Iterable[Table], certificates: Sequence[MarkWord | None]) -> ReportDocument:
    """The document of these tables, with room for the results that `certificates` are of."""
    return ReportDocument(
        tables=[
            TableDocument(
                title=table.title,
                conditions=list(table.conditions),
                columns=[column.title for column in table.columns],
                rows=[list(row) for row in table.rows],
                notes=list(table.notes),
                certificates=[mark and mark.word for mark in table.marks],
            )
            for table in tables
        ],
        results=[],
        certificates=list(certificates),
    )


def schema() -> str:
    """The JSON Schema of the document."""
    return json.dumps(ReportDocument.model_json_schema(mode="serialization"), indent=1) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema())
