"""Compares two sets of results: what differs in their provenance, and which cells became slower or faster. Pure.

The ratio of a cell is B's time divided by A's, so 1.10 means that B takes 10 % longer. Cells that were not measured
under the same conditions get no ratio.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from orchestrator.judge import disturbances, stats
from orchestrator.judge.conditions import conditions_of
from orchestrator.judge.named_facts import facts_of, in_words
from orchestrator.judge.software import TITLES, differences, software_of_all
from orchestrator.plan.workload import Declaration, TrainingWorkload
from orchestrator.record.results import Result

ComparisonWord = stats.RatioWord | Literal["not comparable"]

# What must be equal on both sides, as `conditions_of` names it → in words.
CONDITIONS: Mapping[str, str] = {
    "data": "dataset",
    "amount": "amount of work",
    "device": "device",
    "gpus": "number of GPUs",
    "ranks": "number of ranks",
    "engine": "engine",
    "precision": "precision",
    "settings": "settings",
    "seed": "seed",
    "trace": "trace",
}
# What must be equal within a side only, since two machines may be compared.
MACHINE: Mapping[str, str] = {"host": "host", "node": "node", "gpu": "GPU"}


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A fact of provenance that differs between A and B, and the cells that it concerns."""

    what: str
    a: str
    b: str
    cells: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side of a cell. Times in seconds: of the training, or per image for inference.

    Disturbed measurements do not count, unless there are no others.
    """

    framework: str
    times: tuple[float, ...]
    accuracy: float | None  # median, 0 to 1; None of a workload that is not scored by it
    test_loss: float | None  # median, likewise
    score: str  # either of them with its unit; empty for inference

    @property
    def summary(self) -> stats.Summary | None:
        """Median and interval of the times; None without times."""
        return stats.summary(self.times) if self.times else None


@dataclass(frozen=True, kw_only=True)
class ComparedCell:
    """One workload of one framework, or of the two frameworks that are compared."""

    name: str
    workload: str
    a: Side | None
    b: Side | None
    ratio: stats.Ratio | None
    word: ComparisonWord
    why: str  # empty for same, slower and faster

    @property
    def lost(self) -> bool:
        """Whether A has a time and B has none, because it failed or has no such cell."""
        return bool(self.a and self.a.times) and not (self.b and self.b.times)

    def slower_than(self, limit: float) -> bool | None:
        """Whether B takes more than 1 + `limit` times as long as A; None when the interval includes 1 + `limit`."""
        interval = self.ratio.interval if self.ratio else None
        if interval is None or interval.low <= 1 + limit < interval.high:
            return None
        return interval.low > 1 + limit


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The result of `rosetta compare`."""

    differences: tuple[Difference, ...]
    cells: tuple[ComparedCell, ...]
    warnings: tuple[str, ...]


def compare(a: Sequence[Result], b: Sequence[Result], margin: float) -> Comparison:
    """Compare two sets of results cell by cell. Times that differ by less than `margin` (relative) are the same.

    Cells are paired by framework, workload and device. When each side has one framework, the framework does not count,
    so that two frameworks can be compared; likewise the device, so that a CPU and a GPU can be compared.
    """
    one_each = all(len({result.job.framework for result in side}) == 1 for side in (a, b))
    by_device = any(len({result.job.device for result in side}) > 1 for side in (a, b))
    sides = [_cells(side, by_framework=not one_each, by_device=by_device) for side in (a, b)]
    names = list(dict.fromkeys([*sides[0], *sides[1]]))
    pairs = {name: (sides[0].get(name, []), sides[1].get(name, [])) for name in names}
    return Comparison(
        differences=_differences({name: pair for name, pair in pairs.items() if all(pair)}),
        cells=tuple(compare_rows(*pair, name, margin) for name, pair in pairs.items()),
        warnings=(
            *_machines(pairs),
            *(
                f"{side} {name}: {warning}"
                for name, pair in pairs.items()
                for side, results in zip("AB", pair, strict=True)
                for warning in _warnings(results)
            ),
        ),
    )


def is_slower(slow: Sequence[Result], fast: Sequence[Result], margin: float = stats.MARGIN) -> bool:
    """Whether `compare` would call the first of two rows of a workload slower than the second."""
    sides = _side(fast), _side(slow)
    if not _obstacle(fast, slow, *sides) and not any(map(disturbances.all_disturbed, (fast, slow))):
        times = [side.times for side in sides if side]
        if min(map(len, times)) >= stats.FEW and min(times[1]) > (1 + margin) * max(times[0]):
            return True  # it is in every resample
    return compare_rows(fast, slow, margin=margin).word == "slower"


def compare_rows(
    a: Sequence[Result], b: Sequence[Result], name: str = "", margin: float = stats.MARGIN
) -> ComparedCell:
    """Compare the results of two rows of a workload; `name` is the name of the cell."""
    sides = _side(a), _side(b)
    why = _obstacle(a, b, *sides)
    found = None
    word: ComparisonWord = "not comparable"
    if not why and sides[0] and sides[1]:
        found = stats.ratio(sides[1].times, sides[0].times)
        word = stats.decide(found, margin)
        why = _doubt(found, margin, len(sides[0].times), len(sides[1].times)) if word == "undecided" else ""
        if disturbed := [letter for letter, side in zip("AB", (a, b), strict=True) if disturbances.all_disturbed(side)]:
            found, word = replace(found, interval=None, equivalence=None), "undecided"
            why = f"every measurement of {' and '.join(disturbed)} was disturbed: measure again on a quiet machine"
    return ComparedCell(
        name=name, workload=(a or b)[0].job.workload, a=sides[0], b=sides[1], ratio=found, word=word, why=why
    )


def _cells(results: Sequence[Result], *, by_framework: bool, by_device: bool) -> dict[str, list[Result]]:
    cells: dict[str, list[Result]] = {}
    for result in results:
        job = result.job
        name = [*([job.framework] if by_framework else []), job.workload, *([job.device] if by_device else [])]
        cells.setdefault(" ".join(name), []).append(result)
    return cells


def _side(results: Sequence[Result]) -> Side | None:
    if not results:
        return None
    good = [result.figures for result in results if result.status == "ok"]
    counted = [result.figures for result in disturbances.counted(results)]
    accuracy = _median(figures.accuracy for figures in good)
    test_loss = _median(figures.test_loss for figures in good)
    return Side(
        framework=results[0].job.framework,
        times=tuple(figures.ranking_s for figures in counted if figures.ranking_s is not None),
        accuracy=accuracy,
        test_loss=test_loss,
        score=_in_unit(results[0].job.declaration, accuracy if accuracy is not None else test_loss),
    )


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _in_unit(workload: Declaration, score: float | None) -> str:
    return workload.scoring.text(score) if isinstance(workload, TrainingWorkload) and score is not None else ""


def _obstacle(a: Sequence[Result], b: Sequence[Result], side_a: Side | None, side_b: Side | None) -> str:
    """Why two cells must not be compared; empty when they may be."""
    return _missing("A", a, side_a) or _missing("B", b, side_b) or "; ".join(_unequal_conditions(a, b))


def _missing(letter: str, results: Sequence[Result], side: Side | None) -> str:
    """Why a side has no times; empty when it has."""
    if side is None:
        return f"{letter} has no such cell"
    if side.times:
        return ""
    failure = next((result.failure for result in results if result.failure), None)
    return f"{letter} has no time for it" + (f": {failure.kind}: {in_words(failure.message)}" if failure else "")


def _unequal_conditions(a: Sequence[Result], b: Sequence[Result]) -> list[str]:
    """The conditions that differ between two sides, or within one of them."""
    conditions = [[_conditions(result) for result in results if result.status == "ok"] for results in (a, b)]
    reasons = []
    for name, title in {**CONDITIONS, **MACHINE}.items():
        values = [list(dict.fromkeys(each[name] for each in side)) for side in conditions]
        mixed = [letter for letter, found in zip("AB", values, strict=True) if len(found) > 1]
        if mixed:
            reasons.append(f"{title} varies within {' and '.join(mixed)}")
        elif values[0] != values[1] and name not in MACHINE:
            reasons.append(f"different {title} ({values[0][0] or 'none'} / {values[1][0] or 'none'})")
    for letter, results in zip("AB", (a, b), strict=True):
        reasons += [f"{TITLES[fact]} varies within {letter}" for fact in _varying_software(results)]
    contents = [{each["content"] for each in side} for side in conditions]
    if not reasons and contents[0] != contents[1]:
        reasons.append("data, weights or batch order have the same name but different content")
    return reasons


def _conditions(result: Result) -> dict[str, str]:
    """The conditions of a result in words; `content` is its content_of."""
    words = {name: in_words(words) for name, words in conditions_of(result).items()}
    return {**words, "gpus": str(max(1, len(result.job.gpus))), "content": content_of(result)}


def content_of(result: Result) -> str:
    """A text that identifies the content of the data, weights and batch order of a result."""
    data = result.provenance.data
    return f"{data.fingerprint} {sorted(data.inputs.items())}" if data else ""


def _varying_software(results: Sequence[Result]) -> list[str]:
    """The facts of `software` that differ among the results that succeeded."""
    named = differences(software_of_all([result for result in results if result.status == "ok"]))
    return [fact for fact in TITLES if any(fact in words for words in named)]


def _doubt(found: stats.Ratio, margin: float, n_a: int, n_b: int) -> str:
    """Why a cell is undecided, and what to do."""
    if found.interval is None:
        return f"{n_a} and {n_b} measurements are too few: measure both with --repeats {stats.FEW} or more"
    return (
        f"the interval neither excludes equal times nor a difference of {100 * margin:.3g} %: measure with more repeats"
    )


def _machines(pairs: Mapping[str, tuple[Sequence[Result], Sequence[Result]]]) -> list[str]:
    """A warning that names the cells whose sides were measured on different machines."""
    machines = {
        name: [{_machine(result) for result in side} for side in pair] for name, pair in pairs.items() if all(pair)
    }
    others = [name for name, (a, b) in machines.items() if a != b]
    if not others:
        return []
    where = "" if len(others) == len(machines) else f" ({', '.join(others)})"
    return [f"measured on different machines{where}: the ratio includes the difference between the machines"]


def _machine(result: Result) -> tuple[str, ...]:
    conditions = conditions_of(result)
    return tuple(conditions[name] for name in MACHINE)


def _warnings(results: Sequence[Result]) -> list[str]:
    good = [result for result in results if result.status == "ok"]
    disturbed = sum(map(disturbances.is_disturbed, good))
    kept = disturbances.counted(results)
    times = [result.figures.ranking_s for result in kept if result.figures.ranking_s is not None]
    are_repeats = len({tuple(conditions_of(result).values()) for result in good}) == 1 and not _varying_software(good)
    warnings = stats.warnings(times) if are_repeats and len(times) > 1 else []
    if disturbed:
        (worst, *_) = (text.text for result in good for text in disturbances.of_result(result))
        if disturbed < len(good):
            warnings.append(f"{disturbed} of {len(good)} measurements were disturbed and do not count: {worst}")
        else:
            which = {1: "the only measurement was", 2: "both measurements were"}
            all_of = which.get(len(good), f"all {len(good)} measurements were")
            warnings.append(f"{all_of} disturbed: {worst}")
    for result in kept:
        steady = stats.steady(result.figures.part_seconds)
        if steady is not None and not steady.settled:
            parts = "epochs" if result.figures.epochs else "batches"
            warnings.append(
                f"repeat {result.job.repeat} never became steady: its {parts} kept getting slower or faster"
            )
    return warnings


def _differences(pairs: Mapping[str, tuple[Sequence[Result], Sequence[Result]]]) -> tuple[Difference, ...]:
    found: dict[tuple[str, str, str], list[str]] = {}
    for name, pair in pairs.items():
        a, b = (_merged([facts_of(result) for result in results]) for results in pair)
        for what in dict.fromkeys([*a, *b]):
            if a.get(what) != b.get(what):
                found.setdefault((what, a.get(what, "–"), b.get(what, "–")), []).append(name)
    return tuple(Difference(what=what, a=a, b=b, cells=tuple(cells)) for (what, a, b), cells in found.items())


def _merged(facts: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The facts of all repeats. Where repeats differ, each value once."""
    names = dict.fromkeys(name for each in facts for name in each)
    return {name: " / ".join(dict.fromkeys(each[name] for each in facts if name in each)) for name in names}
