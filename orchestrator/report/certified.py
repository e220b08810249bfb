"""Computes the marks of table rows from certificates, and the legend that explains the marks. Pure.

A certificate is valid only for what its hashes identify. A result is certified by any certificate with the same
hashes, no matter where that is stored. If a cell has only certificates with other hashes, its mark is "stale".
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
GRAVITY: tuple[MarkWord, ...] = ("certified", "declared", "diverges")  # from the best to the worst
SYMBOLS: Mapping[MarkWord, str] = {"certified": "✓", "declared": "≈", "diverges": "≠", "stale": "○"}
MEANINGS: Mapping[MarkWord, str] = {
    "certified": "computes the same as the reference",
    "declared": "differs from the reference in a known, documented way",
    "diverges": "differs from the reference",
    "stale": "verified only in another environment, or with other code or weights",
}


@dataclass(frozen=True, kw_only=True)
class Mark:
    """The verdict of certificates on a result or a row."""

    word: MarkWord
    made: str  # the day of the certificate
    why: str = ""  # how it differs, or what has changed since it was verified

    @property
    def symbol(self) -> str:
        """One character, so that marks differ in more than their colour."""
        return SYMBOLS[self.word]

    @property
    def sentence(self) -> str:
        """The mark in words."""
        why = f": {self.why}" if self.why else ""
        return f"{MEANINGS[self.word]} (certificate of {self.made}){why}"


def known(certificates: Iterable[Certificate]) -> Known:
    """The certificates of each cell."""
    found: dict[CellKey, list[Certificate]] = {}
    for each in certificates:
        found.setdefault((each.framework, each.workload, each.variant, each.device), []).append(each)
    return found


def of(result: Result, certificates: Known) -> Mark | None:
    """The mark of a result; None for one without figures, or for a cell that was never verified."""
    job = result.job
    there = certificates.get((job.framework, job.workload, variant_of(job), job.device), ())
    if result.status != "ok" or job.precision != PRECISION or not there:
        return None
    changed = [(each, stale(each, result.provenance)) for each in there]
    fitting = [each for each, others in changed if not others]
    if not fitting:
        latest, others = max(changed, key=lambda pair: pair[0].made)
        return Mark(word="stale", made=_day(latest), why=printable(", ".join(others), MAX_NOTE))
    # One valid certificate that found a difference counts more than others that did not: it may have run more steps.
    word = max((each.word for each in fitting), key=GRAVITY.index)
    latest = max((each for each in fitting if each.word == word), key=lambda each: each.made)
    return Mark(word=word, made=_day(latest), why=printable(latest.parity.why, MAX_NOTE))


def of_row(results: Sequence[Result], certificates: Known) -> Mark | None:
    """The mark of a row: the worst mark of its results. It is certified only if all results with figures are."""
    marks = [of(result, certificates) for result in results if result.status == "ok"] if certificates else []
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
    dates = f"certificate of {days[0]}" if len(days) == 1 else f"certificates of {days[0]} to {days[-1]}"
    named = "; ".join(dict.fromkeys(f"{title} ({mark.why})" for title, mark in rows if mark.why))
    return f"{SYMBOLS[word]} {MEANINGS[word]} ({dates})" + (f": {named}" if named else "")


def _day(certificate: Certificate) -> str:
    return printable(certificate.made[:10])
