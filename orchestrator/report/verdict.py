"""The answer of a report in a few sentences: what was fastest, and what a reader must know before trusting it. Pure.

The sentences rank only what `compare` would decide: rows of equal conditions whose times are not all disturbed.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.judge import comparison, disturbances, stats
from orchestrator.judge.conditions import Row, grouped, split
from orchestrator.judge.software import TITLES
from orchestrator.plan.workload import Declaration
from orchestrator.plan.workloads import WORKLOADS
from orchestrator.record.results import Result
from orchestrator.report import certified, quantities
from orchestrator.report.certified import Known, MarkWord
from orchestrator.report.notes import doubts
from orchestrator.report.tables import by_workload
from orchestrator.text import MAX_NAME, MAX_NOTE, printable

MAX_NAMED = 4  # rows in a sentence
MAX_RANKINGS = 4  # of one workload
# What `rosetta verify` found out about one cell, and about several.
VERIFIED: Mapping[MarkWord | Literal[""], tuple[str, str]] = {
    "certified": ("computes the same as the reference", "compute the same as the reference"),
    "declared": (
        "differs from the reference in a known, documented way",
        "differ from the reference in a known, documented way",
    ),
    "diverges": ("differs from the reference", "differ from the reference"),
    "stale": ("was not verified as it ran", "were not verified as they ran"),
    "claimed": ("has a certificate that nobody vouches for", "have certificates that nobody vouches for"),
    "": ("was not verified", "were not verified"),
}
AUTO = "`--repeats auto` decides it"


class VerdictLine(BaseModel):
    """One or two sentences about a workload, or about all results."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    workload: str = Field(description="the name of the workload; empty for all results")
    level: Literal["answer", "caution", "danger"]
    text: str

    @property
    def title(self) -> str:
        """A short title of the workload; empty for all results."""
        return WORKLOADS[self.workload].title.partition(":")[0] if self.workload else ""


@dataclass(frozen=True, kw_only=True)
class _Contender:
    """A row of a ranking: its label, its results, and the median of the times that count."""

    label: str
    results: tuple[Result, ...]
    times: tuple[float, ...]  # seconds of the training, or per image of inference

    @property
    def median(self) -> float:
        return statistics.median(self.times)

    @property
    def figure(self) -> str:
        """The median as tables show it: a time, or a rate."""
        workload = self.results[0].job.declaration
        if workload.trains:
            return quantities.seconds(self.median)
        return quantities.rate(1 / self.median, workload.samples)

    @property
    def named(self) -> str:
        """The label with the figure."""
        return f"{self.label} {self.figure}"


def of(results: Iterable[Result], known: Known = certified.NONE) -> tuple[VerdictLine, ...]:
    """The verdict on some results: the lines of each workload, then those on all; `known` is what marks rest on."""
    results = list(results)
    if not results:
        return ()
    lines = [line for name, some in by_workload(results).items() for line in _of_workload(WORKLOADS[name], some, known)]
    return (*_advised_once(lines), *_of_all(results, known))


def _advised_once(lines: Iterable[VerdictLine]) -> Iterator[VerdictLine]:
    """The same lines, with the advice in the first one that has it only."""
    advised = False
    for line in lines:
        yield line.model_copy(update={"text": line.text.replace(f"; {AUTO}", "")}) if advised else line
        advised = advised or AUTO in line.text


def _of_workload(workload: Declaration, results: Sequence[Result], known: Known) -> Iterator[VerdictLine]:
    """The rankings of a workload, then what is wrong with its rows."""
    measured = [result for result in results if result.status == "ok" and result.figures.ranking_s is not None]
    rankings = _rankings(measured)
    for where, rows in rankings[:MAX_RANKINGS]:
        text = " ".join(_ranking(_contenders(rows)))
        yield VerdictLine(workload=workload.name, level="answer", text=f"{where}: {text}" if where else text)
    if (more := len(rankings) - MAX_RANKINGS) > 0:
        text = f"{more} more set{'s' if more > 1 else ''} of conditions: see the table."
        yield VerdictLine(workload=workload.name, level="answer", text=text)
    wrong = [f"{label}: {why}" for label, why in _wrong(measured, known)]
    for text in wrong[:MAX_NAMED]:
        yield VerdictLine(workload=workload.name, level="caution", text=f"{text}.")
    if len(wrong) > MAX_NAMED:
        text = f"{len(wrong) - MAX_NAMED} more rows are doubtful: see the notes of the table."
        yield VerdictLine(workload=workload.name, level="caution", text=text)


def _rankings(results: Sequence[Result]) -> list[tuple[str, list[Row]]]:
    """The rows that may be ranked against each other, with the conditions in which they differ from other such rows.

    All conditions that `compare` wants equal are equal within a ranking, and the machine, too.
    """
    found: dict[tuple[object, ...], list[Row]] = {}
    for conditions, same in grouped(results):
        content = frozenset(map(comparison.content_of, same))
        key = (*(words for name, words in conditions.items() if name not in TITLES), content)
        found.setdefault(key, []).append((conditions, same))
    _, varying = split([rows[0][0] for rows in found.values()]) if found else ([], [])
    names = [name for name in varying if name not in TITLES]
    return [
        (printable(", ".join(words for name in names if (words := rows[0][0][name])), MAX_NOTE), rows)
        for rows in found.values()
    ]


def _contenders(rows: Sequence[Row]) -> list[_Contender]:
    """The rows with their labels: their titles; if several share it, also the software in which they differ."""
    titles = Counter(results[0].job.title for _, results in rows)
    found = []
    for conditions, results in rows:
        title = results[0].job.title
        software = [words for name in TITLES if titles[title] > 1 and (words := conditions[name])]
        times = (result.figures.ranking_s for result in disturbances.counted(results))
        found.append(
            _Contender(
                label=printable(", ".join([title, *software]), MAX_NAME),
                results=tuple(results),
                times=tuple(seconds for seconds in times if seconds is not None),
            )
        )
    return found


def _ranking(rows: Sequence[_Contender]) -> Iterator[str]:
    """The sentences on rows of equal conditions."""
    quiet = sorted((row for row in rows if not disturbances.all_disturbed(row.results)), key=lambda row: row.median)
    disturbed = [row for row in rows if disturbances.all_disturbed(row.results)]
    if len(quiet) == 1:
        yield f"{quiet[0].named} ({_runs(quiet[0])})."
    elif quiet:
        yield from _first_places(quiet)
    if disturbed:
        yield f"Not ranked, because disturbed: {_listed([row.named for row in disturbed])}."


def _first_places(ranked: Sequence[_Contender]) -> Iterator[str]:
    """Which of two or more rows is the fastest, as far as `compare` decides that."""
    first, *others = ranked
    if all(len(row.times) == 1 for row in ranked):
        ratio = quantities.factor(others[0].median / first.median)
        after = f"then {others[0].label} {ratio} times that"
        if not first.results[0].job.declaration.trains:
            after = f"{ratio} times as fast as the next, {others[0].label}"
        yield f"{first.named}, {after} (one run each: order not proven; {AUTO})."
        return
    slower = [row for row in others if comparison.is_slower(row.results, first.results)]
    near = [row for row in others if row not in slower]
    same = [row for row in near if comparison.compare_rows(first.results, row.results).word == "same"]
    undecided = [row for row in near if row not in same]
    if same:
        alike = _listed([row.named for row in (first, *same)])
        yield f"{alike}: the same within {100 * stats.MARGIN:.0f} %."
    if undecided:
        few = min(len(row.times) for row in (first, *undecided)) < stats.FEW
        why = f"fewer than {stats.FEW} runs each; {AUTO}" if few else f"the intervals overlap; {AUTO}"
        yield f"Order not proven: {_listed([row.named for row in (first, *undecided)])} ({why})."
    if slower:
        yield _next(first, slower[0], is_fastest=not same and not undecided)


def _next(first: _Contender, row: _Contender, *, is_fastest: bool) -> str:
    """The sentence on the first row that is decidedly slower than the fastest."""
    found = comparison.compare_rows(first.results, row.results).ratio
    ratio = quantities.times(found) if found else ""
    trains = first.results[0].job.declaration.trains
    if is_fastest:
        after = f"{row.named} takes {ratio} as long" if trains else f"{ratio} as fast as {row.named}"
        return f"{first.named} is the fastest ({_runs(first)}): {after}."
    if trains:
        return f"{row.named} takes {ratio} as long as {first.label}."
    return f"{first.label} is {ratio} as fast as {row.named}."


def _runs(row: _Contender) -> str:
    count = len(row.times)
    return "one run" if count == 1 else f"median of {count} runs"


def _wrong(results: Sequence[Result], known: Known) -> Iterator[tuple[str, str]]:
    """The rows whose score is doubtful, or that differ from the reference, each with the reason."""
    for row in _contenders(grouped(results)):
        if found := next((text for result in row.results for text in doubts(result)), None):
            yield row.label, printable(found, MAX_NOTE)
        mark = certified.of_row(row.results, known)
        if mark is not None and mark.verdict == "diverges":
            yield row.label, printable(mark.sentence, MAX_NOTE)


def _of_all(results: Sequence[Result], known: Known) -> Iterator[VerdictLine]:
    """The lines on certificates and disturbances, on the data, and on jobs without figures."""
    measured = [result for result in results if result.status == "ok"]
    if measured:
        yield VerdictLine(workload="", level="answer", text=_verified(measured, known))
    yield from _data(measured)
    absent = Counter(result.status for result in results if result.status != "ok")
    if absent:
        how = ", ".join(f"{number} {status}" for status, number in absent.items())
        jobs = "1 job" if len(results) == 1 else f"{len(results)} jobs"
        text = f"{sum(absent.values())} of {jobs} without figures: {how}."
        if set(absent) == {"failed"}:
            text = f"{absent['failed']} of {jobs} failed."
        level: Literal["caution", "danger"] = "caution" if set(absent) == {"skipped"} else "danger"
        yield VerdictLine(workload="", level=level, text=text)


def _verified(results: Sequence[Result], known: Known) -> str:
    """How many cells compute the same as the reference, and how many jobs were disturbed."""
    marks = [certified.of_row(same, known) for _, same in grouped(results)]
    counts = Counter("" if mark is None else mark.word for mark in marks)
    parts = [_count(counts[word], *ways) for word, ways in VERIFIED.items() if counts[word]]
    of = f" of {len(marks)} cells" if len(marks) > 1 else " cell"
    count, _, way = parts[0].partition(" ")
    parts[0] = f"{count}{of} {way}"
    if disturbed := sum(map(disturbances.is_disturbed, results)):
        parts.append(_count(disturbed, "job was disturbed", "jobs were disturbed"))
    return f"{'; '.join(parts)}."


def _count(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"


def _data(results: Sequence[Result]) -> Iterator[VerdictLine]:
    """The lines on data that are not the official ones."""
    sources: dict[str, dict[str, None]] = {}
    for result in results:
        data = result.provenance.data
        if data is not None and result.job.declaration.trains:
            sources.setdefault(data.source, {})[result.job.declaration.dataset] = None
    if made := sources.get("synthetic"):
        warning = "times are real, accuracy is not comparable with any published figure."
        text = f"SYNTHETIC DATA ({', '.join(made)}): {warning}"
        yield VerdictLine(workload="", level="danger", text=text)
    if copies := sources.get("imported"):
        text = f"Imported data ({', '.join(copies)}): private copies, which may differ from the official files."
        yield VerdictLine(workload="", level="answer", text=text)


def _listed(names: Sequence[str]) -> str:
    """Names in a sentence: `A, B and C`; of many, the first and how many more there are."""
    shown = list(names[:MAX_NAMED])
    if (more := len(names) - len(shown)) > 0:
        shown.append(f"{more} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
