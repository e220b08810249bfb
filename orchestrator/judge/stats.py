"""Statistics of repeats: medians with intervals, ratios, ties, outliers, steady states. Pure.

Every value is a positive number of one unit, usually seconds, in the order of measurement. Equal results always give
equal tables, because the data themselves seed the bootstrap. docs/statistics.md explains the choice of methods.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.judge.resampling import array_of, bootstrap, median, shift

LEVEL = 0.95
EQUIVALENCE_LEVEL = 0.90  # two one-sided tests at 5 % each are one interval of 90 %
MARGIN = 0.05  # relative: times that differ by less are the same; docs/statistics.md explains why 5 %
FEW = 5  # with fewer repeats than this, a bootstrap has too few values to draw from
OUTLIER = 3.5  # modified z-score; Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993)
NOTABLE = 0.05  # relative to the median: a value closer than this is never an outlier
MAD_TO_DEVIATION = 1.4826  # median absolute deviation of a normal distribution → its standard deviation

RatioWord = Literal["same", "slower", "faster", "undecided"]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """From `low` to `high`."""

    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the distance between the ends."""
        return (self.high - self.low) / 2

    def within(self, other: Interval) -> bool:
        """Whether all of it lies inside `other`."""
        return other.low <= self.low and self.high <= other.high


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A sample in a few numbers, all in its unit except `spread`, which is relative to the mean."""

    n: int
    median: float
    interval: Interval | None  # of the median, 95 %; the range of fewer than FEW values; None for one value
    spread: float | None  # coefficient of variation; None for one value, or if all are zero


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """How many times as large one sample is as another."""

    estimate: float
    interval: Interval | None  # 95 % by default; None with too few values
    equivalence: Interval | None  # 90 %, to decide whether the two are the same


@dataclass(frozen=True, kw_only=True)
class Steady:
    """Where the times of a job's epochs or batches become steady."""

    start: int  # index of the first value that counts as steady
    seconds: float  # median from there on
    spread: float  # robust relative spread from there on
    settled: bool  # False if the values still change at the end


def summary(values: Sequence[float]) -> Summary:
    """The sample `values` (n,) in a few numbers. Raises ValueError when it is empty.

    The interval is the percentile bootstrap, widened as a t interval would be (Hesterberg, What Teachers Should Know
    About the Bootstrap, 2015). BCa is not used: it corrects for skewness with the jackknife, and the jackknife of a
    median is inconsistent.
    """
    return _summary(tuple(values))


@functools.lru_cache(maxsize=4096)  # a report needs each row twice: in a table and in a chart
def _summary(values: tuple[float, ...]) -> Summary:
    if not values:
        raise ValueError("a sample without values")
    n = len(values)
    interval = None
    low, high = min(values), max(values)
    if n > 1 and (n < FEW or low == high):  # equal values, such as accuracies, have no other median in any resample
        interval = Interval(low=low, high=high)
    elif n >= FEW:
        (bounds,) = bootstrap((values,), median, [_expanded(LEVEL, n, n - 1)])
        interval = Interval(low=bounds[0], high=bounds[1])
    return Summary(
        n=n,
        median=statistics.median(values),
        interval=interval,
        spread=_spread(values),
    )


def ratio(of: Sequence[float], to: Sequence[float], level: float = LEVEL) -> Ratio:
    """The median of the quotients of all n × m pairs of a value in `of` (n,) and one in `to` (m,).

    This is the Hodges-Lehmann estimate for the logarithms. It is nearly as precise as a mean, and one bad repeat does
    not move it.
    """
    logs = [math.log(value) for value in to], [math.log(value) for value in of]
    estimate = float(shift(array_of(logs[0]), array_of(logs[1])))
    interval, equivalence = _ratio_intervals(*logs, (level, EQUIVALENCE_LEVEL))
    return Ratio(estimate=math.exp(estimate), interval=interval, equivalence=equivalence)


def decide(found: Ratio, margin: float = MARGIN) -> RatioWord:
    """Decide whether times with this ratio to others are the same, slower or faster, or whether that is undecided.

    "same" needs evidence: the 90 % interval lies between 1/(1 + margin) and 1 + margin. "slower" and "faster" need a
    95 % interval on one side of 1.
    """
    if found.equivalence is not None and found.equivalence.within(Interval(low=1 / (1 + margin), high=1 + margin)):
        return "same"
    if found.interval is None or found.interval.low <= 1 <= found.interval.high:
        return "undecided"
    return "slower" if found.interval.low > 1 else "faster"


def distinguishable(found: Ratio) -> bool:
    """Whether a table may rank one of two rows before the other."""
    return found.interval is not None and not found.interval.low <= 1 <= found.interval.high


def apart(slower: Sequence[float], faster: Sequence[float]) -> bool:
    """Whether one of two samples, each with at least one value, takes longer than the other."""
    if min(len(slower), len(faster)) >= FEW and (min(slower) > max(faster) or min(faster) > max(slower)):
        return True  # the order is the same in every resample
    return distinguishable(ratio(slower, faster))


def warnings(values: Sequence[float]) -> list[str]:
    """What is unusual about repeats (n,) of a time, with advice."""
    found = []
    first, later = values[0], values[1:]
    if len(later) > 1 and _outliers([first], later):
        found.append(_odd_first(first / statistics.median(later) - 1))
        values = later
    middle = statistics.median(values)
    spread = _spread(values)
    odd = _outliers(values, values) if len(values) >= FEW else []
    if odd:
        worst = max(abs(value / middle - 1) for value in odd)
        found.append(
            f"{len(odd)} of {len(values)} repeats {'lies' if len(odd) == 1 else 'lie'} up to {100 * worst:.0f} % from "
            "the median: did something else run at that time? Measure again on a quiet machine"
        )
    elif spread is not None and spread > 2 * NOTABLE:
        found.append(
            f"the repeats differ by {100 * spread:.0f} % among themselves (standard deviation): other programs, heat, "
            "power limits? Measure on a quiet machine, or more often"
        )
    return found


def steady(values: Sequence[float]) -> Steady | None:
    """Where epochs or batches (n,) of one job become steady; None for fewer than 2, or for times of zero.

    This is a simple rule, because a changepoint search finds changes in any ten values. The level is the median of the
    later half. The first value never counts: it includes compilation, tuning and cold caches. The values after it do
    not count either, as long as they differ from the level by more than 5 % and by more than three times the spread of
    the later half. The rest has not settled if its halves differ by more than 5 % and Kendall's rank correlation with
    time is significant at 1 %, which needs six values.
    """
    from scipy import stats

    if len(values) < 2 or min(values) <= 0:
        return None
    late = values[len(values) // 2 :]
    level = statistics.median(late)
    allowed = max(NOTABLE, 3 * robust_spread(late))
    calm = (index for index in range(1, len(values)) if abs(values[index] / level - 1) <= allowed)
    start = next(calm, len(values) - 1)
    counted = values[start:]
    half = len(counted) // 2
    moved = abs(statistics.median(counted[:half]) / statistics.median(counted[half:]) - 1) if half else 0.0
    return Steady(
        start=start,
        seconds=statistics.median(counted),
        spread=robust_spread(counted),
        settled=moved <= NOTABLE or stats.kendalltau(range(len(counted)), counted).pvalue > 0.01,
    )


def share_difference(before: tuple[int, int], after: tuple[int, int], level: float) -> Interval:
    """The interval of after − before, two shares given as (correct, samples): Newcombe's, from two Wilson intervals.

    Newcombe, Interval estimation for the difference between independent proportions (1998), method 10.
    """
    from scipy import stats

    shares, sides = [], []
    for correct, samples in (before, after):
        wilson = stats.binomtest(correct, samples).proportion_ci(level, method="wilson")
        shares.append(correct / samples)
        sides.append((float(wilson.low), float(wilson.high)))
    difference = shares[1] - shares[0]
    down = math.hypot(shares[1] - sides[1][0], sides[0][1] - shares[0])
    up = math.hypot(sides[1][1] - shares[1], shares[0] - sides[0][0])
    return Interval(low=difference - down, high=difference + up)


def t_quantile(level: float, freedom: int) -> float:
    """Half the width, in standard errors, of a t interval of `level` with `freedom` degrees of freedom."""
    from scipy import special

    return float(special.stdtrit(freedom, 0.5 + level / 2))


def _ratio_intervals(to: Sequence[float], of: Sequence[float], levels: Sequence[float]) -> list[Interval | None]:
    """Intervals of exp(of − to) for two samples of logarithms; None for a level that needs more values."""
    n, m = len(of), len(to)
    if min(n, m) < FEW:
        whole = Interval(low=math.exp(min(of) - max(to)), high=math.exp(max(of) - min(to)))
        return [whole if _level_of_range(n, m) >= level else None for level in levels]
    found = bootstrap((to, of), shift, [_expanded(level, min(n, m), n + m - 2) for level in levels])
    return [Interval(low=math.exp(low), high=math.exp(high)) for low, high in found]


def _level_of_range(n: int, m: int) -> float:
    """How often the range of all quotients of n and m values includes the true one.

    It does not when, after division by the true quotient, all of one sample is on one side of the other. These are 2
    of the C(n + m, n) orders that two equal samples can have.
    """
    return 1 - 2 / math.comb(n + m, n)


def _expanded(level: float, n: int, freedom: int) -> float:
    """The level at which a percentile bootstrap is as wide as a t interval of `level`."""
    from scipy import special

    return float(1 - 2 * special.ndtr(-math.sqrt(n / (n - 1)) * t_quantile(level, freedom)))


def _odd_first(away: float) -> str:
    """The warning about a first repeat that differs by `away` (relative) from the median of the others."""
    if away > 0:
        return (
            f"the first repeat was {100 * away:.0f} % slower than the rest: something warmed up; run it once before "
            "you measure, or use only the later repeats"
        )
    return (
        f"the first repeat was {-100 * away:.0f} % faster than the rest: something slowed down afterwards; look for "
        "heat, power limits, or a program that started in between"
    )


def _outliers(values: Sequence[float], others: Sequence[float]) -> list[float]:
    """The values that are outliers compared with `others`."""
    middle = statistics.median(others)
    allowed = max(NOTABLE * middle, OUTLIER * robust_spread(others) * middle)
    return [value for value in values if abs(value - middle) > allowed]


def _spread(values: Sequence[float]) -> float | None:
    """Coefficient of variation; None for one value, or if all are zero."""
    mean = statistics.fmean(values)
    return statistics.stdev(values) / mean if len(values) > 1 and mean > 0 else None


def robust_spread(values: Sequence[float]) -> float:
    """Median absolute deviation, as a standard deviation relative to the median."""
    middle = statistics.median(values)
    return MAD_TO_DEVIATION * statistics.median(abs(value - middle) for value in values) / middle
