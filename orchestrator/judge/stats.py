"""What repeats tell: medians with intervals, ratios, ties, outliers, steady states. Pure.

Every value is a positive number of one unit, usually seconds, in the order it was measured. Nothing here is random: a
bootstrap draws from a generator that the data themselves seed, so the same results always give the same tables. The
methods and why they were chosen: docs/statistics.md.
"""

from __future__ import annotations

import functools
import hashlib
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEVEL = 0.95
EQUIVALENCE_LEVEL = 0.90  # two one-sided tests at 5 % each are one interval of 90 %
MARGIN = 0.05  # "same" means less than 5 % apart; docs/statistics.md says why
FEW = 5  # repeats below which a bootstrap has too little to draw from
RESAMPLES = 2_000
BATCH = 200  # resamples at a time: keeps the pairs of all of them out of memory
MAX_PAIRS = 10_000  # beyond 100 repeats each, the ratio of the medians is as good as that of all pairs, and cheaper
OUTLIER = 3.5  # modified z-score; Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993)
WORTH_TELLING = 0.05  # of the median: what is closer is no outlier, however regular the others are
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
    """A sample in a few numbers, all in its unit but for `spread`, which is relative to the mean."""

    n: int
    median: float
    interval: Interval | None  # of the median, 95 %; the range below FEW values; None for one value
    spread: float | None  # coefficient of variation; None for one value, or where all are zero


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """How many times the first sample the second is."""

    estimate: float
    interval: Interval | None  # 95 % unless asked otherwise; None where there are too few values to give one
    equivalence: Interval | None  # 90 %, for the question whether the two are the same


@dataclass(frozen=True, kw_only=True)
class Steady:
    """Where a job's epochs or batches settle."""

    start: int  # index of the first value that counts as steady
    seconds: float  # median from there on
    spread: float  # robust relative spread from there on
    settled: bool  # False when the values still move at the end


def summary(values: Sequence[float]) -> Summary:
    """The sample `values` (n,) in a few numbers. Raises ValueError when it is empty.

    The interval is the percentile bootstrap, expanded to the width a t interval would have (Hesterberg, What Teachers
    Should Know About the Bootstrap, 2015). BCa would correct for skewness by way of the jackknife, and the jackknife
    of a median is inconsistent: leaving one value out moves it to one of two places, whatever the sample.
    """
    return _summary(tuple(values))


@functools.lru_cache(maxsize=4096)  # a report asks for the times of every row twice: for a table and for a chart
def _summary(values: tuple[float, ...]) -> Summary:
    if not values:
        raise ValueError("a sample without values")
    n = len(values)
    interval = None
    low, high = min(values), max(values)
    if n > 1 and (n < FEW or low == high):  # as accuracies often are: no resample of equal values has another median
        interval = Interval(low=low, high=high)
    elif n >= FEW:
        (interval,) = _bootstrap((values,), _median, [_expanded(LEVEL, n, n - 1)])
    return Summary(
        n=n,
        median=statistics.median(values),
        interval=interval,
        spread=_spread(values),
    )


def ratio(of: Sequence[float], to: Sequence[float], level: float = LEVEL) -> Ratio:
    """The typical quotient of a value of `of` (n,) and one of `to` (m,): the median over all n × m pairs.

    That is the Hodges-Lehmann estimate of how far the logarithms lie apart: nearly as sharp as means are, and not
    moved by a single bad repeat.
    """
    logs = [math.log(value) for value in to], [math.log(value) for value in of]
    estimate = float(_shift(_array(logs[0]), _array(logs[1])))
    interval, equivalence = _ratio_intervals(*logs, (level, EQUIVALENCE_LEVEL))
    return Ratio(estimate=math.exp(estimate), interval=interval, equivalence=equivalence)


def decide(found: Ratio, margin: float = MARGIN) -> RatioWord:
    """Whether seconds that are `found` times others are the same, more or less; "undecided" is an answer.

    "same" is shown, not assumed: the 90 % interval lies between 1/(1 + margin) and 1 + margin. Otherwise the 95 %
    interval must lie on one side of 1.
    """
    if found.equivalence is not None and found.equivalence.within(Interval(low=1 / (1 + margin), high=1 + margin)):
        return "same"
    if found.interval is None or found.interval.low <= 1 <= found.interval.high:
        return "undecided"
    return "slower" if found.interval.low > 1 else "faster"


def distinguishable(found: Ratio) -> bool:
    """Whether two rows of a table may be told to rank one before the other."""
    return found.interval is not None and not found.interval.low <= 1 <= found.interval.high


def apart(slower: Sequence[float], faster: Sequence[float]) -> bool:
    """Whether repeats of the one, at least one of each, may be told to take longer, or less time, than the other's."""
    if min(len(slower), len(faster)) >= FEW and (min(slower) > max(faster) or min(faster) > max(slower)):
        return True  # so is every resample of theirs
    return distinguishable(ratio(slower, faster))


def warnings(values: Sequence[float]) -> list[str]:
    """What is odd about repeats (n,) of a time, in plain words and with advice."""
    told = []
    first, later = values[0], values[1:]
    if len(later) > 1 and _outliers([first], later):
        told.append(_odd_first(first / statistics.median(later) - 1))
        values = later
    middle = statistics.median(values)
    spread = _spread(values)
    odd = _outliers(values, values) if len(values) >= FEW else []
    if odd:
        worst = max(abs(value / middle - 1) for value in odd)
        told.append(
            f"{len(odd)} of {len(values)} repeats {'lies' if len(odd) == 1 else 'lie'} up to {100 * worst:.0f} % from "
            "the median: did something else run meanwhile? Measure again on a quiet machine"
        )
    elif spread is not None and spread > 2 * WORTH_TELLING:
        told.append(
            f"the repeats differ by {100 * spread:.0f} % among themselves (standard deviation): other programs, heat, "
            "power limits? Measure on a quiet machine, or more often"
        )
    return told


def steady(values: Sequence[float]) -> Steady | None:
    """Where epochs or batches (n,) of one job become steady; None for fewer than 2, and where the clock shows none.

    A simple rule rather than a changepoint search, which finds changes in any ten values: the level is the median of
    the later half; the first value never counts, for it holds compilation, tuning and caches; nor do those after it
    that lie further from the level than 5 %, or than three times the later half's own spread, whichever is more. What
    is left has not settled when its halves lie more than 5 % apart and Kendall's rank correlation with time says that
    this is no chance (at 1 %, which takes six values).
    """
    from scipy import stats

    if len(values) < 2 or min(values) <= 0:
        return None
    late = values[len(values) // 2 :]
    level = statistics.median(late)
    allowed = max(WORTH_TELLING, 3 * _robust_spread(late))
    calm = (index for index in range(1, len(values)) if abs(values[index] / level - 1) <= allowed)
    start = next(calm, len(values) - 1)
    counted = values[start:]
    half = len(counted) // 2
    moved = abs(statistics.median(counted[:half]) / statistics.median(counted[half:]) - 1) if half else 0.0
    return Steady(
        start=start,
        seconds=statistics.median(counted),
        spread=_robust_spread(counted),
        settled=moved <= WORTH_TELLING or stats.kendalltau(range(len(counted)), counted).pvalue > 0.01,
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
    """Intervals of exp(of − to), two samples of logarithms; None where there are too few for a level."""
    n, m = len(of), len(to)
    if min(n, m) < FEW:
        whole = Interval(low=math.exp(min(of) - max(to)), high=math.exp(max(of) - min(to)))
        return [whole if _level_of_range(n, m) >= level else None for level in levels]
    found = _bootstrap((to, of), _shift, [_expanded(level, min(n, m), n + m - 2) for level in levels])
    return [Interval(low=math.exp(each.low), high=math.exp(each.high)) for each in found]


def _level_of_range(n: int, m: int) -> float:
    """How often the range of all quotients of n and m values holds the true one.

    It fails when one sample lies wholly on one side of the other once the true quotient is divided out: 2 of the
    C(n + m, n) orders in which equal samples can lie.
    """
    return 1 - 2 / math.comb(n + m, n)


def _expanded(level: float, n: int, freedom: int) -> float:
    """The level a percentile bootstrap must be asked for to be as wide as a t interval of `level`."""
    from scipy import special

    return float(1 - 2 * special.ndtr(-math.sqrt(n / (n - 1)) * t_quantile(level, freedom)))


def _bootstrap(samples: Sequence[Sequence[float]], statistic: Any, levels: Sequence[float]) -> list[Interval]:
    """Percentile intervals of a statistic, one for each level, from the same resamples.

    What scipy.stats.bootstrap draws, to the bit; a test holds it to that. Importing scipy.stats takes longer than all
    the intervals of a report.
    """
    import numpy as np

    arrays = tuple(map(_array, samples))
    digest = hashlib.sha256(b"".join(array.tobytes() for array in arrays)).digest()
    generator = np.random.default_rng(np.frombuffer(digest, np.uint32))
    drawn = np.concatenate(
        [
            statistic(*(array[generator.integers(0, array.size, (BATCH, array.size))] for array in arrays))
            for _ in range(RESAMPLES // BATCH)
        ]
    )
    bounds = (np.quantile(drawn, (0.5 - level / 2, 0.5 + level / 2)) for level in levels)
    return [Interval(low=float(low), high=float(high)) for low, high in bounds]


def _array(values: Sequence[float]) -> NDArray[np.float64]:
    import numpy as np

    return np.asarray(values, np.float64)


def _median(values: NDArray[np.float64]) -> Any:
    """The medians of `values` (…, n), those of numpy.median to the bit.

    Sorting takes a quarter of the time: with two pivots, which an even n has, NumPy partitions without SIMD.
    """
    import numpy as np

    ordered, n = np.sort(values, axis=-1), values.shape[-1]
    return (ordered[..., (n - 1) // 2] + ordered[..., n // 2]) / 2


def _shift(to: NDArray[np.float64], of: NDArray[np.float64]) -> Any:
    """How far `of` (…, n) lies above `to` (…, m): the median of all differences."""
    if of.shape[-1] * to.shape[-1] > MAX_PAIRS:
        return _median(of) - _median(to)
    pairs = of[..., :, None] - to[..., None, :]
    return _median(pairs.reshape(*pairs.shape[:-2], -1))


def _odd_first(away: float) -> str:
    """What a first repeat means that is `away` (relative) from the median of the others."""
    if away > 0:
        return (
            f"the first repeat was {100 * away:.0f} % slower than the rest: something warmed up; run it once before "
            "you measure, or take the later repeats"
        )
    return (
        f"the first repeat was {-100 * away:.0f} % faster than the rest: something slowed down afterwards; look for "
        "heat, power limits, or a program that started meanwhile"
    )


def _outliers(values: Sequence[float], others: Sequence[float]) -> list[float]:
    """Those of `values` that do not belong to `others`."""
    middle = statistics.median(others)
    allowed = max(WORTH_TELLING * middle, OUTLIER * _robust_spread(others) * middle)
    return [value for value in values if abs(value - middle) > allowed]


def _spread(values: Sequence[float]) -> float | None:
    """Coefficient of variation; None for one value, or where all are zero."""
    mean = statistics.fmean(values)
    return statistics.stdev(values) / mean if len(values) > 1 and mean > 0 else None


def _robust_spread(values: Sequence[float]) -> float:
    """Median absolute deviation, as a standard deviation relative to the median."""
    middle = statistics.median(values)
    return MAD_TO_DEVIATION * statistics.median(abs(value - middle) for value in values) / middle
