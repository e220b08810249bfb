"""The report as Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from orchestrator.host.peak import Peak
from orchestrator.judge import disturbances
from orchestrator.judge.conditions import conditions_of
from orchestrator.record.results import Result
from orchestrator.report import certified, document, origin
from orchestrator.report.certified import Known
from orchestrator.report.origin import RunOrigin
from orchestrator.report.table import Table
from orchestrator.report.verdict import AUTO, VerdictLine
from orchestrator.text import plain

CONDITIONS = ("data", "amount", "device", "gpus", "engine", "precision", "seed", "host")  # of `conditions_of`
FIGURES = (
    "accuracy",
    "test_loss",
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
_NUMBER = re.compile(r"-?[0-9.]+(e[+-]?[0-9]+)?(;.*)?")
_LINK = re.compile(r"(:(?=//)|\bwww(?=\.)|(?<!\w)(?=@\w))([/.@])")  # what GitHub turns into a link by itself
EPOCHS = ("epoch_seconds", "epoch_accuracy", "epoch_test_loss")  # the values of all epochs, separated by semicolons
# Fields of `Telemetry`, in its units: utilisation in %, memory in bytes.
USAGE = (
    "samples_per_joule",
    "joules",
    "gpu_utilisation",
    "gpu_memory_peak",
    "cpus",
    "memory_peak",
    "orchestrator_cpus",
    "others_cpus",
    "pressure",
    "job_pressure",
    "steal",
    "throttled",
)

# The verdict, or "claimed"; what is claimed; who signed; the user name that the result records.
CERTIFIED = ("certificate", "certificate_claim", "certificate_signer", "by")


def markdown(tables: Iterable[Table], origins: Iterable[RunOrigin] = (), verdict: Sequence[VerdictLine] = ()) -> str:
    """GitHub-flavoured Markdown: the verdict, the tables, then the runs that they were made from."""
    answer = [
        f"- {f'**{_escape(line.title)}**: ' if line.title else ''}{_escape(line.text).replace(_escape(AUTO), AUTO)}"
        for line in verdict
    ]
    runs = [_escape(each.words) for each in origins]
    return "\n".join(
        [
            *answer,
            *([""] if answer else []),
            *map(_markdown, tables),
            *([f"Measured in {'; '.join(runs)}\n"] if runs else []),
        ]
    )


def csv_lines(
    results: Iterable[Result], known: Known = certified.NONE, origins: Sequence[RunOrigin] = ()
) -> Iterator[str]:
    """A head, then one line per result, including failed ones. Times are in seconds; a missing value is empty.

    `known` is what the verdicts of certificates rest on; they have columns of their own. `origins` are the runs, in the
    order of their results.
    """
    head = ["run", "began", "job", "framework", "version", "workload", "repeat", "status", "failure", *CONDITIONS]
    after = ["disturbed", *CERTIFIED, "orchestrator", "commit", "uncommitted_changes"]
    yield _csv_line([*head, "node", *FIGURES, *EPOCHS, *USAGE, *after])
    for run, result in zip_longest(origin.runs_of_results(origins), results):
        yield _csv_line([run or "", *_csv_cells(result, known)])


def _csv_cells(result: Result, known: Known) -> list[object]:
    """The line of one result, but for its run."""
    conditions, mark, code = conditions_of(result), certified.of(result, known), result.provenance.code
    return [
        result.began,
        result.job.id,
        result.job.framework,
        result.start.version if result.start else "",
        result.job.workload,
        result.job.repeat,
        result.status,
        f"{result.failure.kind}: {result.failure.message}" if result.failure else "",
        *(conditions[name] for name in CONDITIONS),
        result.provenance.node.name if result.provenance.node else "",
        *(_number(getattr(result.figures, name)) for name in FIGURES),
        _numbers(epoch.seconds for epoch in result.figures.epochs),
        _numbers(epoch.accuracy for epoch in result.figures.epochs),
        _numbers(epoch.test_loss for epoch in result.figures.epochs),
        *(_number(getattr(result.telemetry, name, None)) for name in USAGE),
        "; ".join(each.text for each in disturbances.of_result(result)),
        *((mark.word, mark.claim or "", mark.signer) if mark else ("",) * len(CERTIFIED[:3])),
        result.provenance.by,
        code.version or "",
        code.git_commit or "",
        "" if code.git_dirty is None else "yes" if code.git_dirty else "no",
    ]


def json_text(
    tables: Iterable[Table],
    results: Iterable[Result],
    known: Known = certified.NONE,
    origins: Sequence[RunOrigin] = (),
    peak: Peak | None = None,
) -> str:
    """The tables as shown, and the results they were made from. Their JSON Schema is docs/report.schema.json."""
    return document.of(tables, results, known, origins, peak).model_dump_json(indent=1) + "\n"


def _csv_line(cells: Sequence[object]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(
        [_no_formula(each) if isinstance(each, str) else each for each in cells]
    )
    return line.getvalue()


def _no_formula(text: str) -> str:
    """Untrusted text that no spreadsheet takes for a formula: https://owasp.org/www-community/attacks/CSV_Injection."""
    text = plain(text)
    return f"'{text}" if text[:1] in set("=+-@\t\r") and not _NUMBER.fullmatch(text) else text


def _markdown(table: Table) -> str:
    lines = [f"### {table.title}", "", _escape(" · ".join(table.conditions)), ""]
    lines.append("| " + " | ".join(_escape(column.title) for column in table.heads) + " |")
    lines.append("|" + "|".join(" ---: " if column.form else " --- " for column in table.heads) + "|")
    lines += ("| " + " | ".join(row) + " |" for row in table.texts(_escape))
    legend = (f"- {line.symbol}{_escape(f'{line.by}: {line.meaning}')}" for line in table.legend)
    lines += ["", *legend, *(f"- {_escape(note)}" for note in table.notes), ""]
    return "\n".join(lines)


def _escape(text: str) -> str:
    """Untrusted text for a table or a list: on one line, without markup, links and mentions."""
    text = (
        re.sub(r"([\\|`\[\]*_~])", r"\\\1", plain(text).replace("\n", " ")).replace("&", "&amp;").replace("<", "&lt;")
    )
    return _LINK.sub(lambda found: f"{found[1]}&#{ord(found[2])};", text)


def _number(value: float | None) -> str:
    return "" if value is None else repr(value)


def _numbers(values: Iterable[float | None]) -> str:
    numbers = [_number(value) for value in values]
    return ";".join(numbers) if any(numbers) else ""
