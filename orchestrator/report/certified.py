"""Results and certificates → the mark that a row of a table bears, and what the marks mean. Pure.

A certificate speaks of what its hashes name and of nothing else, so a result is certified by any whose hashes are its
own, wherever it lay. Where none fits, those of the same cell are stale: it was verified, but as something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from orchestrator.record.certificates import PRECISION, Certificate, stale, variant_of
from orchestrator.record.results import Result
from orchestrator.text import MAX_NOTE, printable

MarkWord = Literal["certified", "declared", "diverges", "stale"]
CellKey = tuple[str, str, str | None, str]  # framework, workload, its variant, device
Known = Mapping[CellKey, Sequence[Certificate]]
NONE: Known = MappingProxyType({})
GRAVITY: tuple[MarkWord, ...] = ("certified", "declared", "diverges")  # of what a certificate says, the gravest last
SYMBOLS: Mapping[MarkWord, str] = {"certified": "✓", "declared": "≈", "diverges": "≠", "stale": "○"}
MEANINGS: Mapping[MarkWord, str] = {
    "certified": "computes the same as the reference",
    "declared": "computes something else than the reference, which its notes declare and explain wholly",
    "diverges": "computes something else than the reference",
    "stale": "verified in another environment, or with other code or weights, so not certified as measured here",
}


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What certificates say of a result, or of a row."""

    word: MarkWord
    made: str  # the day of the certificate
    why: str = ""  # how it diverges, or what it was not verified with

    @property
    def symbol(self) -> str:
        """One character, so that no mark is told by its colour alone."""
        return SYMBOLS[self.word]

    @property
    def sentence(self) -> str:
        """The same in words."""
        why = f": {self.why}" if self.why else ""
        return f"{MEANINGS[self.word]} (certificate of {self.made}){why}"


def known(certificates: Iterable[Certificate]) -> Known:
    """Certificates by the cell they are of."""
    found: dict[CellKey, list[Certificate]] = {}
    for each in certificates:
        found.setdefault((each.framework, each.workload, each.variant, each.device), []).append(each)
    return found


def of(result: Result, certificates: Known) -> Mark | None:
    """What is known of a result; None of one without figures, or that was never verified."""
    job = result.job
    there = certificates.get((job.framework, job.workload, variant_of(job), job.device), ())
    if result.status != "ok" or job.precision != PRECISION or not there:
        return None
    changed = [(each, stale(each, result.provenance)) for each in there]
    fitting = [each for each, others in changed if not others]
    if not fitting:
        latest, others = max(changed, key=lambda pair: pair[0].made)
        return Mark(word="stale", made=_day(latest), why=printable(", ".join(others), MAX_NOTE))
    # Of several that fit, one that found something wrong did so in more steps, or with luck: it is not outvoted.
    word = max((each.word for each in fitting), key=GRAVITY.index)
    latest = max((each for each in fitting if each.word == word), key=lambda each: each.made)
    return Mark(word=word, made=_day(latest), why=printable(latest.parity.why, MAX_NOTE))


def of_row(results: Sequence[Result], certificates: Known) -> Mark | None:
    """The mark of a row: what is known of all its results with figures, or the worst that is known of any."""
    # What repeats have in common, the provenance among it, says the same of all of them.
    different = {(id(result.provenance), result.job.device): result for result in results if result.status == "ok"}
    marks = [of(result, certificates) for result in different.values()] if certificates else []
    for word in ("diverges", "stale", "declared"):
        if found := next((mark for mark in marks if mark is not None and mark.word == word), None):
            return found
    return marks[0] if marks and None not in marks else None


def legend(rows: Iterable[tuple[str, Mark | None]]) -> list[str]:
    """A line for each kind of mark that occurs; `rows` are titles with their marks."""
    found: dict[MarkWord, list[tuple[str, Mark]]] = {word: [] for word in SYMBOLS}
    for title, mark in rows:
        if mark is not None:
            found[mark.word].append((title, mark))
    return [_line(word, some) for word, some in found.items() if some]


def _line(word: MarkWord, rows: Sequence[tuple[str, Mark]]) -> str:
    days = sorted({mark.made for _, mark in rows})
    told = f"certificate of {days[0]}" if len(days) == 1 else f"certificates of {days[0]} to {days[-1]}"
    named = "; ".join(dict.fromkeys(f"{title} ({mark.why})" for title, mark in rows if mark.why))
    return f"{SYMBOLS[word]} {MEANINGS[word]} ({told})" + (f": {named}" if named else "")


def _day(certificate: Certificate) -> str:
    return printable(certificate.made[:10])
