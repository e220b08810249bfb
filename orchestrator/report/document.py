"""The JSON report as a type: the contract for programs that read it.

This command generates docs/report.schema.json from it:

    python -m orchestrator.report.document > docs/report.schema.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.host.peak import Peak
from orchestrator.judge import disturbances, plausibility
from orchestrator.judge.plausibility import Plausibility
from orchestrator.record.results import Result
from orchestrator.report import certified, origin, verdict
from orchestrator.report.certified import Known, Mark, MarkWord
from orchestrator.report.origin import RunOrigin
from orchestrator.report.table import Doubtful, Measurement, Table
from orchestrator.report.verdict import VerdictLine


class TableDocument(BaseModel):
    """A table as it is shown, its numbers unrounded."""

    model_config = ConfigDict(extra="forbid")

    title: str
    conditions: list[str] = Field(description="what holds for all rows, in words")
    columns: list[str]
    rows: list[list[str | float | Measurement | Doubtful | None]] = Field(
        description="text, a number, null where there is nothing, a median with its interval where n jobs were run; "
        "or one of these as `doubtful`, where the value must not be trusted"
    )
    notes: list[str]
    certificates: list[MarkWord | None] = Field(description="the verdict of `rosetta verify` on each row, if any")
    marks: list[Mark | None] = Field(description="the same with who vouches for it, as `marks` of the report")


class ReportDocument(BaseModel):
    """What `rosetta report --format json` writes."""

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[1] = 1
    verdict: list[VerdictLine] = Field(
        description="the answer in a few sentences, as every form of the report shows it"
    )
    tables: list[TableDocument]
    results: list[Result] = Field(description="all that the tables were made from")
    disturbances: list[list[str]] = Field(
        description="of each result: what kept it from its processors, in words; its times must not be trusted. "
        "Empty where nothing is known to have done so"
    )
    plausibility: list[Plausibility | None] = Field(
        description="of each result: the floating point operations a second that the workload declares, the bytes of "
        "weights a second, and their share of what the reader's machine can do at most (of_peak, null where that was "
        "not measured: `rosetta doctor --bench`); null for a job that did not end"
    )
    runs: list[RunOrigin] = Field(description="the runs that the results are from")
    run_of_result: list[str] = Field(description="of each result: the id of its run")
    certificates: list[MarkWord | None] = Field(
        description="of each result: it computes the same as the reference (certified); it differs from the reference "
        "only in the way that its notes document (declared), or in another way (diverges); it was verified only in "
        "another environment or with other code or weights (stale); or a file for which nobody vouches says one of "
        "these (claimed); null where it was not verified"
    )
    marks: list[Mark | None] = Field(
        description="of each result, the same in full: the day of the certificate (made), who signed the file (signer, "
        "empty if it lies in the reader's own results), and, if it is only claimed, the verdict that is claimed "
        "(claim), the file that does (place), and why nobody vouches for it (doubt)"
    )


def of(
    tables: Iterable[Table],
    results: Iterable[Result],
    known: Known = certified.NONE,
    origins: Sequence[RunOrigin] = (),
    peak: Peak | None = None,
) -> ReportDocument:
    """The document of these tables and of the results that they were made from.

    `known` is what marks rest on, `origins` are the runs, in the order of their results, `peak` is of this machine.
    """
    results = list(results)
    marks = [certified.of(result, known) for result in results]
    return ReportDocument(
        verdict=list(verdict.of(results, known)),
        tables=[
            TableDocument(
                title=table.title,
                conditions=list(table.conditions),
                columns=[column.title for column in table.columns],
                rows=[list(row) for row in table.rows],
                notes=list(table.notes),
                certificates=[mark and mark.word for mark in table.marks],
                marks=list(table.marks),
            )
            for table in tables
        ],
        results=results,
        disturbances=[[each.text for each in disturbances.of_result(result)] for result in results],
        plausibility=[plausibility.of_result(result, peak) for result in results],
        runs=list(origins),
        run_of_result=origin.runs_of_results(origins),
        certificates=[None if mark is None else mark.word for mark in marks],
        marks=marks,
    )


def schema() -> str:
    """The JSON Schema of the document."""
    return json.dumps(ReportDocument.model_json_schema(mode="serialization"), indent=1) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema())
