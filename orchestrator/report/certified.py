"""Computes the marks of results and table rows from certificates, and the legend that explains the marks. Pure.

A certificate is valid only for what its hashes identify. A result is certified by a certificate with the same hashes.
If a cell has only certificates with other hashes, its mark is "stale".

Who says so matters as much. Hashes and certificates in a file from somebody else are what that file says. So
certificates apply to the results that came with them, and a mark names who vouches: nobody but the reader for what
lies in the reader's own results folder, the signer of a signed capsule, and nobody for any other file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from orchestrator.judge import timed_parity
from orchestrator.record.certificates import PRECISION, Certificate, Found, stale, variant_of
from orchestrator.record.results import Result
from orchestrator.text import MAX_NAME, MAX_NOTE, printable

Verdict = Literal[Found, "stale"]
MarkWord = Literal[Verdict, "claimed"]
CellKey = tuple[str, str, str | None, str]  # framework, workload, its variant, device
Cells = Mapping[CellKey, Sequence[Certificate]]
GRAVITY: tuple[Found, ...] = ("certified", "declared", "diverges")  # from the best to the worst
SYMBOLS: Mapping[MarkWord, str] = {
    "certified": "✓",
    "declared": "≈",
    "diverges": "≠",
    "stale": "○",
    "claimed": "claimed",
}
MEANINGS: Mapping[Verdict, str] = {
    "certified": "computes the same as the reference",
    "declared": "differs from the reference in a known, documented way",
    "diverges": "differs from the reference",
    "stale": "not verified as it ran: in another environment, with other code or weights, or without showing it",
}
UNSIGNED = "it has no signature"
COVERED = "your own certificate covers the environment, code and weights that the file names"


@dataclass(frozen=True, kw_only=True)
class Origin:
    """A folder or file that results and certificates were read from, and who vouches for it."""

    place: str = "the file"  # as messages name it
    certificates: tuple[Certificate, ...] = ()
    mine: bool = False  # in the reader's own results folder
    signer: str = ""  # of a signature that was checked, by the name that the reader gave the key
    doubt: str = UNSIGNED  # why nobody vouches for it, if nobody does


@dataclass(frozen=True, kw_only=True)
class Known:
    """The origins of results, and the reader's own certificates. A result of unknown origin has no mark."""

    own: Cells = field(default_factory=dict)
    origins: Mapping[tuple[str, str], Sequence[tuple[Result, Origin]]] = field(default_factory=dict)

    def of(self, result: Result) -> Iterator[Origin]:
        """The origins of a result: usually one."""
        # Id and start alone would not do: a file can repeat those of the reader's results with other figures.
        return (origin for other, origin in self.origins.get(_key(result), ()) if other == result)


NONE = Known()


@dataclass(frozen=True, kw_only=True)
class Mark:
    """The verdict of certificates on a result or a row, and who vouches for it."""

    word: MarkWord
    made: str  # the day of the certificate
    why: str = ""  # how it differs, or what has changed since it was verified
    maker: str = ""  # the user name in the certificate, which proves nothing
    signer: str = ""  # who vouches; empty for the reader, and for what is only claimed
    claim: Verdict | None = None  # what is claimed
    place: str = ""  # the file that claims it,
    doubt: str = ""  # and why nobody vouches for the file

    @property
    def verdict(self) -> Verdict:
        """The verdict, also of a mark that is only claimed."""
        return self.claim or ("stale" if self.word == "claimed" else self.word)

    @property
    def symbol(self) -> str:
        """One character or word of this program, so that marks differ in more than their colour."""
        other = self.claim not in {None, "certified"}
        return f"{SYMBOLS[self.word]} {SYMBOLS[self.verdict]}" if other else SYMBOLS[self.word]

    @property
    def by(self) -> str:
        """What follows the symbol: who vouches, if that is not the reader."""
        return f" by {self.signer}" if self.signer else ""

    def text(self, show: Callable[[str], str] = str) -> str:
        """The mark for a cell of its own; `show` makes the signer's name safe."""
        return self.symbol + show(self.by)

    @property
    def sentence(self) -> str:
        """The mark in words."""
        why = f": {self.why}" if self.why else ""
        return f"{self.meaning} ({_dates([self])}){self.standing}{why}"

    @property
    def meaning(self) -> str:
        """The verdict in words."""
        return f"{self.place} says: {MEANINGS[self.verdict]}" if self.claim else MEANINGS[self.verdict]

    @property
    def standing(self) -> str:
        """What the verdict rests on, if that is not the reader's own certificate."""
        if self.claim:
            return f"; nobody vouches for that: {self.doubt}"
        return f"; vouched for by the signature of {self.signer}" if self.signer else ""


@dataclass(frozen=True, kw_only=True)
class LegendLine:
    """The explanation of one kind of mark. Only `symbol` is wholly this program's."""

    symbol: str
    by: str
    meaning: str


def known(held: Iterable[tuple[Origin, Iterable[Result]]], own: Iterable[Certificate] = ()) -> Known:
    """What is known about the results of each origin; `own` are the certificates in the reader's results folder."""
    origins: dict[tuple[str, str], list[tuple[Result, Origin]]] = {}
    for origin, results in held:
        for result in results:
            origins.setdefault(_key(result), []).append((result, origin))
    return Known(own=_by_cell(own), origins=origins)


def of(result: Result, known: Known) -> Mark | None:
    """The mark of a result; None for one without figures, or for a cell that was never verified.

    The same result may have come in several files: the one that is vouched for best counts.
    """
    if result.status != "ok" or result.job.precision != PRECISION:
        return None
    marks = (mark for origin in known.of(result) if (mark := _of_origin(result, origin, known.own)))
    return min(marks, key=lambda mark: (mark.word == "claimed", bool(mark.signer)), default=None)


def of_row(results: Sequence[Result], known: Known) -> Mark | None:
    """The mark of a row: the worst of its results. It is certified only if all results with figures are.

    It is vouched for no better than the results are: one claim makes it a claim.
    """
    found = [of(result, known) for result in results if result.status == "ok"]
    marks = [mark for mark in found if mark is not None]
    for verdict in ("diverges", "stale", "declared"):
        if worst := [mark for mark in marks if mark.verdict == verdict]:
            return _least(worst)
    return _least(marks) if marks and None not in found else None


def legend(rows: Iterable[tuple[str, Mark | None]]) -> tuple[LegendLine, ...]:
    """A line for each kind of mark that occurs; `rows` are titles with their marks."""
    found: dict[tuple[object, ...], list[tuple[str, Mark]]] = {}
    for title, mark in rows:
        if mark is not None:
            found.setdefault((mark.symbol, mark.by, mark.place, mark.doubt), []).append((title, mark))
    order = list(SYMBOLS)
    return tuple(map(_line, sorted(found.values(), key=lambda some: order.index(some[0][1].word))))


def _of_origin(result: Result, origin: Origin, own: Cells) -> Mark | None:
    """The mark that a result has because of where it came from."""
    cell = _cell_of(result)
    there = own.get(cell, ()) if origin.mine else [each for each in origin.certificates if _covers(each) == cell]
    mark = _judged(result, there) if there else None
    if origin.mine:
        return mark
    # The reader's certificate says what this code computes. That the result ran this code, its file says.
    fitting = [each for each in own.get(cell, ()) if not stale(each, result.provenance)]
    if fitting and (mark is None or mark.word == "stale"):
        covered = _judged(result, fitting)
        mark = replace(covered, why="; ".join(filter(None, (covered.why, COVERED))))
    elif fitting:
        mark = _judged(result, [*there, *fitting])
    if mark is None or origin.signer:
        return mark and replace(mark, signer=origin.signer)
    return replace(mark, word="claimed", claim=mark.verdict, place=origin.place, doubt=origin.doubt)


def _judged(result: Result, certificates: Sequence[Certificate]) -> Mark:
    """What certificates of a result's cell say about the result."""
    changed = [(each, stale(each, result.provenance)) for each in certificates]
    fitting = [each for each, others in changed if not others]
    if not fitting:
        latest, others = max(changed, key=lambda pair: pair[0].made)
        return _mark("stale", latest, ", ".join(others))
    # One valid certificate that found a difference counts more than others that did not: it may have run more steps.
    word = max((each.word for each in fitting), key=GRAVITY.index)
    latest = max((each for each in fitting if each.word == word), key=lambda each: each.made)
    if word != "diverges" and (doubt := timed_parity.doubt(result, latest)):
        return _mark(doubt.word, latest, doubt.why)
    return _mark(word, latest, latest.parity.why)


def _mark(word: Verdict, certificate: Certificate, why: str) -> Mark:
    made, maker = (printable(text, MAX_NAME) for text in (certificate.made[:10], certificate.by))
    return Mark(word=word, made=made, why=printable(why, MAX_NOTE), maker=maker)


def _least(marks: Sequence[Mark]) -> Mark:
    """Of marks with one verdict, that which is vouched for least; several signers are named together."""
    if claimed := next((mark for mark in marks if mark.word == "claimed"), None):
        return claimed
    signers = ", ".join(dict.fromkeys(mark.signer for mark in marks if mark.signer))
    return replace(marks[0], signer=signers)


def _line(rows: Sequence[tuple[str, Mark]]) -> LegendLine:
    mark = rows[0][1]
    dates = _dates([each for _, each in rows])
    named = "; ".join(dict.fromkeys(f"{title} ({each.why})" for title, each in rows if each.why))
    meaning = f"{mark.meaning} ({dates}){mark.standing}" + (f": {named}" if named else "")
    return LegendLine(symbol=mark.symbol, by=mark.by, meaning=meaning)


def _dates(marks: Sequence[Mark]) -> str:
    """When the certificates of marks were made. If nobody vouches for them, also by whom, as they say themselves."""
    days = sorted({mark.made for mark in marks})
    makers = ", ".join(dict.fromkeys(mark.maker for mark in marks if mark.maker and mark.claim))
    dates = f"certificate of {days[0]}" if len(days) == 1 else f"certificates of {days[0]} to {days[-1]}"
    return f"{dates} by {makers}" if makers else dates


def _by_cell(certificates: Iterable[Certificate]) -> Cells:
    found: dict[CellKey, list[Certificate]] = {}
    for each in certificates:
        found.setdefault(_covers(each), []).append(each)
    return found


def _covers(certificate: Certificate) -> CellKey:
    return certificate.framework, certificate.workload, certificate.variant, certificate.device


def _cell_of(result: Result) -> CellKey:
    job = result.job
    return job.framework, job.workload, variant_of(job), job.device


def _key(result: Result) -> tuple[str, str]:
    return result.job.id, result.began
