"""Judges whether a repetition gave the same figures as a stored result. Pure; run/repetition.py runs it.

Two times are never equal to the last digit, so the question is whether they differ by more than a tolerance. It has
two parts, and a verdict names both: what two good measurements may differ by (the floor), and the uncertainty that
follows from the spread of these measurements.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator.judge import disturbances, same_job, stats
from orchestrator.record.results import Result
from orchestrator.text import MAX_NOTE, printable

ReproductionWord = Literal["REPRODUCED", "SLOWER", "FASTER", "DIFFERENT ACCURACY", "DIFFERENT LOSS", "CANNOT"]
SAME_HOST = 0.02  # relative; quiet repeats on one machine differ by this much from day to day
OTHER_HOST = 0.10  # another machine of the same model: other memory, cooling, firmware
TOO_NOISY = 0.25  # with a larger uncertainty, nearly any time would count as reproduced
SCORE_LEVEL = 0.99  # with 95 %, one correct repetition in twenty would be called different
LOSS_FLOOR = 0.01  # relative; a choice: rounding differs between machines, and training amplifies it
MAX_EXPONENT = 7.0  # a factor of a thousand; a larger uncertainty needs no exact value


@dataclass(frozen=True, kw_only=True)
class ReproductionVerdict:
    """The verdict on a repetition; a value is None where it could not be judged.

    Times are in seconds, accuracies from 0 to 1, losses in the unit of the workload's scoring.
    """

    word: ReproductionWord
    why: str
    ratio: float | None = None  # of the medians: here divided by stored
    floor: float | None = None  # relative: what two good measurements may differ by
    spread: float | None = None  # relative: the uncertainty that follows from the spread of these measurements
    stored: tuple[float, ...] = ()
    here: tuple[float, ...] = ()
    accuracy: tuple[float, float] | None = None  # stored, here
    test_loss: tuple[float, float] | None = None  # likewise, of a workload that is scored by it
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The verdict on one job of a file."""

    job: str  # id of its first stored result
    verdict: ReproductionVerdict
    run: Path | None = None  # the run that holds the repeats; None if nothing ran


@dataclass(frozen=True, kw_only=True)
class _TimeChange:
    """The time of a repetition relative to the stored one."""

    ratio: float  # of the medians: here divided by stored
    floor: float
    spread: float

    @property
    def tolerance(self) -> float:
        return (1 + self.floor) * (1 + self.spread) - 1

    @property
    def word(self) -> ReproductionWord:
        if self.spread > TOO_NOISY:
            return "CANNOT"
        if abs(math.log(self.ratio)) > math.log1p(self.tolerance):
            return "SLOWER" if self.ratio > 1 else "FASTER"
        return "REPRODUCED"

    @property
    def why(self) -> str:
        if self.spread > TOO_NOISY:
            return f"too noisy: the spread of these runs alone allows a difference of {_per_cent(self.spread)}"
        host = "the same" if self.floor == SAME_HOST else "another"
        return (
            f"{self.ratio:.3f} times the stored time; the tolerance of {_per_cent(self.tolerance)} is "
            f"{_per_cent(self.floor)} for {host} host and {_per_cent(self.spread)} for the spread of these runs"
        )


def verdict(
    originals: Sequence[Result], repeats: Sequence[Result], *, allow_different_code: bool = False
) -> ReproductionVerdict:
    """Judge `repeats` of the job that gave `originals`; at least one of each.

    A different score counts more than a different time: a job that learns less is not faster. Times of disturbed jobs
    do not count where there are enough others; where there are none, no job is called slower or faster.
    """
    notes = (*same_job.allowed_differences(originals[0], repeats[0]), *_disturbed(originals, repeats))
    obstacle = unusable(originals) or _failed(repeats)
    obstacle = obstacle or _not_the_same(originals[0], repeats, allow_different_code=allow_different_code)
    if obstacle:
        return ReproductionVerdict(word="CANNOT", why=obstacle, notes=notes)
    timed = disturbances.counted(originals), _counted(repeats)
    stored, here = map(_times, timed)
    hosts = originals[0].provenance.host, repeats[0].provenance.host
    time = _TimeChange(
        ratio=statistics.median(here) / statistics.median(stored),
        floor=SAME_HOST if same_job.same_host(*hosts) else OTHER_HOST,
        spread=_uncertainty(*timed),
    )
    accuracy, test_loss = _medians(originals, repeats, "accuracy"), _medians(originals, repeats, "test_loss")
    word, why = _unless_disturbed(time, timed)
    if accuracy and (problem := _accuracy_problem(accuracy, originals, repeats)):
        word, why = "DIFFERENT ACCURACY", problem
    if test_loss and (problem := _loss_problem(test_loss, originals, repeats)):
        word, why = "DIFFERENT LOSS", problem
    return ReproductionVerdict(
        word=word,
        why=why,
        ratio=time.ratio,
        floor=time.floor,
        spread=time.spread,
        stored=stored,
        here=here,
        accuracy=accuracy,
        test_loss=test_loss,
        notes=(*notes, *stats.warnings(here)),
    )


def unusable(originals: Sequence[Result]) -> str:
    """Why there is nothing to reproduce; empty when the stored results can be."""
    for result in originals:
        if result.status != "ok":
            reason = result.failure.message if result.failure else result.status
            return f"the stored job {result.job.id} has no figures: {reason}"
        if not result.figures.ranking_s:
            return f"the stored job {result.job.id} has no time"
    shares = [(result.figures.accuracy, result.figures.test_samples) for result in originals]
    if any(share is not None and (share > 1 or not samples or samples < 0) for share, samples in shares):
        return "the stored accuracy is not a fraction of the test samples"
    return ""


def _failed(repeats: Sequence[Result]) -> str:
    """Why the repeats give no spread; empty when they do."""
    failures = [result for result in repeats if result.failure is not None or not result.figures.ranking_s]
    if not failures:
        return "" if len(repeats) > 1 else "one repeat has no spread: repeat the job at least twice"
    reason = failures[0].failure
    why = f": {reason.kind.replace('_', ' ')}: {reason.message}" if reason else ""
    return f"{len(failures)} of {len(repeats)} repeats failed{why}"


def _unless_disturbed(time: _TimeChange, timed: Sequence[Sequence[Result]]) -> tuple[ReproductionWord, str]:
    """The word for the times of both sides and why; none is slower or faster than one that was disturbed."""
    if time.word in {"SLOWER", "FASTER"} and any(map(disturbances.all_disturbed, timed)):
        return "CANNOT", f"disturbed: {time.why}; measure again on a quiet machine"
    return time.word, time.why


def _counted(repeats: Sequence[Result]) -> Sequence[Result]:
    """The undisturbed repeats; all if fewer than two are, since one has no spread."""
    counted = disturbances.counted(repeats)
    return counted if len(counted) > 1 else repeats


def _disturbed(originals: Sequence[Result], repeats: Sequence[Result]) -> Iterator[str]:
    """A note for each side that has disturbed jobs, with the reason of the first."""
    for which, results in (("stored jobs", originals), ("repeats", repeats)):
        found = [reasons[0].text for result in results if (reasons := disturbances.of_result(result))]
        if found:
            verb = "was" if len(found) == 1 else "were"
            yield f"{len(found)} of {len(results)} {which} {verb} disturbed: {printable(found[0], MAX_NOTE)}"


def _not_the_same(original: Result, repeats: Sequence[Result], *, allow_different_code: bool) -> str:
    """Why the repeats are not of the stored job; empty when they are."""
    reasons = (
        same_job.result_differences(original, each, allow_different_code=allow_different_code) for each in repeats
    )
    return "; ".join(next(filter(None, reasons), []))


def _times(results: Sequence[Result]) -> tuple[float, ...]:
    return tuple(seconds for result in results if (seconds := result.figures.ranking_s) is not None)


def _uncertainty(originals: Sequence[Result], repeats: Sequence[Result]) -> float:
    """Half the width, relative, of a t interval for the ratio of the times.

    The spread of one run is taken as the largest of these: of the repeats, of the stored repeats, and of the epochs or
    batches of any run, for a mean of so many. A single stored result has only the last one.
    """
    stored, here = _times(originals), _times(repeats)
    spreads = [statistics.stdev(map(math.log, times)) for times in (stored, here) if len(times) > 1]
    for result in (*originals, *repeats):
        parts = result.figures.part_seconds
        steady = stats.steady(parts)
        if steady is not None and len(parts) - steady.start > 1:
            spreads.append(steady.spread / math.sqrt(len(parts) - steady.start))
    freedom = max(1, len(stored) + len(here) - 2)
    standard_error = max(spreads) * math.sqrt(1 / len(stored) + 1 / len(here))
    half_width = stats.t_quantile(stats.EQUIVALENCE_LEVEL, freedom) * standard_error
    return math.expm1(min(half_width, MAX_EXPONENT))  # exp would overflow


def _medians(
    originals: Sequence[Result], repeats: Sequence[Result], name: Literal["accuracy", "test_loss"]
) -> tuple[float, float] | None:
    """The median of this figure, stored and here; None where either has none."""
    stored, here = _scores(originals, name), _scores(repeats, name)
    return (statistics.median(stored), statistics.median(here)) if stored and here else None


def _scores(results: Sequence[Result], name: Literal["accuracy", "test_loss"]) -> list[float]:
    return [value for result in results if (value := getattr(result.figures, name)) is not None]


def _accuracy_problem(medians: tuple[float, float], originals: Sequence[Result], repeats: Sequence[Result]) -> str:
    """Why the accuracies differ by more than chance; empty if they do not."""
    sizes = [results[0].figures.test_samples or 0 for results in (originals, repeats)]
    counts = [(round(share * size), size) for share, size in zip(medians, sizes, strict=True)]
    difference = stats.share_difference(counts[0], counts[1], SCORE_LEVEL)
    if difference.low <= 0 <= difference.high:
        return ""
    return (
        f"accuracy is {100 * medians[1]:.2f} % and was {100 * medians[0]:.2f} %: over {sizes[1]:,} test samples that "
        f"is more than chance ({100 * SCORE_LEVEL:.0f} % interval of the difference: {100 * difference.low:+.2f} to "
        f"{100 * difference.high:+.2f} points)"
    )


def _loss_problem(medians: tuple[float, float], originals: Sequence[Result], repeats: Sequence[Result]) -> str:
    """Why the losses differ by more than repeats do; empty if they do not.

    How much a mean loss varies from sample to sample is not recorded, so the spread of the repeats is used instead.
    """
    stored, here = _scores(originals, "test_loss"), _scores(repeats, "test_loss")
    spread = max(statistics.stdev(losses) for losses in (stored, here) if len(losses) > 1)
    quantile = stats.t_quantile(SCORE_LEVEL, max(1, len(stored) + len(here) - 2))
    allowed = LOSS_FLOOR * medians[0] + quantile * spread * math.sqrt(1 / len(stored) + 1 / len(here))
    if abs(medians[1] - medians[0]) <= allowed:
        return ""
    return (
        f"the test loss is {medians[1]:.4g} and was {medians[0]:.4g}: the spread of these runs allows a difference of "
        f"{allowed:.2g}"
    )


def _per_cent(share: float) -> str:
    return f"{100 * share:.1f} %"
