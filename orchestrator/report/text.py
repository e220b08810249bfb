"""Tables as Markdown, and results as CSV and JSON."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence

from orchestrator.judge.conditions import Words
from orchestrator.record.results import Result
from orchestrator.report import certified, document
from orchestrator.report.certified import Known
from orchestrator.report.table import Table
from orchestrator.text import plain

FIGURES = (
    "accuracy",
    "train_s",
    "train_samples_per_s",
    "steady_samples_per_s",
    "images_per_s",
    "inference_s",
    "cold_s",
    "load_s",
    "build_s",
    "compile_s",
    "score_s",
)
EPOCHS = ("epoch_seconds", "epoch_accuracy")  # a value for each epoch, with semicolons between them
# Of `Telemetry`, in its units: utilisation in %, memory in bytes.
USAGE = (
    "samples_per_joule",
    "joules",
    "gpu_utilisation",
    "gpu_memory_peak",
    "cpus",
    "memory_peak",
    "orchestrator_cpus",
)


def markdown(tables: Iterable[Table]) -> str:
    """GitHub-flavoured Markdown."""
    return "\n".join(_markdown(table) for table in tables)


def csv_lines(results: Iterable[Result], known: Known = certified.NONE) -> Iterator[str]:
    """A head, then one line per result, failed ones included; empty where nothing was measured. Times in seconds.

    Takes one result at a time, however many there are. `known` are the certificates there are.
    """
    conditions = ("data", "amount", "device", "engine", "precision", "seed", "host")
    head = ["job", "framework", "workload", "repeat", "status", "failure", *conditions, "node"]
    yield _csv_line([*head, *FIGURES, *EPOCHS, *USAGE, "certificate"])
    words = Words()
    for result in results:
        told, mark = words.of(result), certified.of(result, known)
        reason = f"{result.failure.kind}: {result.failure.message}" if result.failure else ""
        yield _csv_line(
            [
                result.job.id,
                result.job.framework,
                result.job.workload,
                result.job.repeat,
                result.status,
                reason,
                *(told[name] for name in conditions),
                result.provenance.node.name if result.provenance.node else "",
                *(_number(getattr(result.figures, name)) for name in FIGURES),
                _numbers(epoch.seconds for epoch in result.figures.epochs),
                _numbers(epoch.accuracy for epoch in result.figures.epochs),
                *(_number(getattr(result.telemetry, name, None)) for name in USAGE),
                mark.word if mark else "",
            ]
        )


def json_pieces(tables: Iterable[Table], results: Sequence[Result], known: Known = certified.NONE) -> Iterator[str]:
    """The tables as shown and the results they were made from, a result at a time.

    Their JSON Schema is docs/report.schema.json.
    """
    marks = [certified.of(result, known) for result in results]
    words = [None if mark is None else mark.word for mark in marks]
    frame = document.of(tables, words).model_dump_json(indent=1)
    empty = '"results": []'  # within a string, quotes are escaped
    before, _, after = frame.partition(empty)
    yield before + empty[:-1]
    for number, result in enumerate(results):
        yield (",\n" if number else "\n") + result.model_dump_json(indent=1)
    yield "]" + after + "\n"


def _csv_line(cells: Sequence[object]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow([plain(cell) if isinstance(cell, str) else cell for cell in cells])
    return line.getvalue()


def _markdown(table: Table) -> str:
    lines = [f"### {table.title}", "", _escape(" · ".join(table.conditions)), ""]
    lines.append("| " + " | ".join(_escape(column.title) for column in table.columns) + " |")
    lines.append("|" + "|".join(" ---: " if column.form else " --- " for column in table.columns) + "|")
    lines += ("| " + " | ".join(map(_escape, row)) + " |" for row in table.texts())
    lines += ["", *(f"- {_escape(note)}" for note in table.notes), ""]
    return "\n".join(lines)


def _escape(text: str) -> str:
    """Text that anybody may have written, as text of a table or a list: no markup, no link, on one line."""
    return re.sub(r"([\\|`\[\]])", r"\\\1", plain(text).replace("\n", " ")).replace("<", "&lt;")


def _number(value: float | None) -> str:
    return "" if value is None else repr(value)


def _numbers(values: Iterable[float | None]) -> str:
    told = [_number(value) for value in values]
    return ";".join(told) if any(told) else ""
