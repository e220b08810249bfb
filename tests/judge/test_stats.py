"""What repeats tell: planted truths are found, noise is not taken for one, and nothing is said without enough data."""

import hashlib
import json
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.judge import resampling, stats

NOISE = 0.025  # standard deviation of the logarithms: runs on a quiet machine differ by 2 to 3 %
times = st.floats(1e-6, 1e6)
samples = st.lists(times, min_size=1, max_size=12)


def draw(generator, n=10, seconds=100.0):
    return generator.lognormal(math.log(seconds), NOISE, n).tolist()


def test_a_planted_slowdown_of_10_per_cent_is_found():
    generator = np.random.default_rng(20261123)
    words = [stats.decide(stats.ratio(draw(generator, seconds=110.0), draw(generator))) for _ in range(100)]
    assert words.count("slower") >= 95


def test_two_draws_of_the_same_are_called_the_same():
    generator = np.random.default_rng(20261124)
    words = [stats.decide(stats.ratio(draw(generator), draw(generator))) for _ in range(100)]
    assert words.count("same") >= 95


def test_two_draws_of_the_same_are_hardly_ever_ranked():
    generator = np.random.default_rng(20261125)
    ranked = [stats.distinguishable(stats.ratio(draw(generator, 5), draw(generator, 5))) for _ in range(100)]
    assert sum(ranked) <= 8  # of 100 at 5 %


@pytest.mark.parametrize("n", [5, 6, 7, 10])
def test_the_interval_of_the_median_holds_it_as_often_as_it_says(n):
    generator = np.random.default_rng(n)
    found = [stats.summary(draw(generator, n)).interval for _ in range(200)]
    assert sum(interval.low <= 100 <= interval.high for interval in found) >= 0.91 * 200


def test_one_value_has_no_interval_and_few_have_their_range():
    alone = stats.summary([3.0])
    assert (alone.n, alone.median, alone.interval, alone.spread) == (1, 3.0, None, None)
    few = stats.summary([3.0, 1.0, 2.0, 9.0])
    assert few.interval == stats.Interval(low=1.0, high=9.0)
    with pytest.raises(ValueError, match="without values"):
        stats.summary([])


@pytest.mark.parametrize(
    ("of", "to", "word"),
    [
        (1, 1, "undecided"),
        (2, 2, "undecided"),  # equal samples are apart like this in 2 of 6 cases
        (3, 3, "undecided"),  # 2 of 20
        (3, 4, "undecided"),  # 2 of 35
        (4, 4, "slower"),  # 2 of 70
        (3, 5, "slower"),
        (1, 38, "undecided"),
        (1, 39, "slower"),
    ],
)
def test_nothing_is_decided_with_too_few_repeats(of, to, word):
    slow = [200.0 + index / 10 for index in range(of)]
    fast = [100.0 + index / 10 for index in range(to)]
    assert stats.decide(stats.ratio(slow, fast)) == word


def test_a_small_difference_that_is_certain_is_still_the_same():
    slow, fast = [102.0 + i / 100 for i in range(10)], [100.0 + i / 100 for i in range(10)]
    found = stats.ratio(slow, fast)
    assert found.estimate == pytest.approx(1.02, rel=1e-3)
    assert stats.decide(found) == "same"
    assert stats.decide(found, margin=0.01) == "slower"
    assert stats.distinguishable(found)


def test_noise_that_hides_a_difference_leaves_it_undecided():
    slow, fast = [110.0, 150.0, 80.0, 130.0, 95.0, 120.0], [100.0, 140.0, 75.0, 120.0, 85.0, 105.0]
    assert stats.decide(stats.ratio(slow, fast)) == "undecided"


@settings(max_examples=60, deadline=None)
@given(samples, samples)
def test_turned_round_the_ratio_is_its_inverse(a, b):
    one, other = stats.ratio(a, b), stats.ratio(b, a)
    assert one.estimate == pytest.approx(1 / other.estimate)


@settings(max_examples=60, deadline=None)
@given(st.lists(times, min_size=1, max_size=stats.FEW - 1), samples)
def test_turned_round_the_decision_is_its_opposite(a, b):
    """For few values: a bootstrap draws other resamples and may differ on the edge."""
    one, other = stats.decide(stats.ratio(a, b)), stats.decide(stats.ratio(b, a))
    assert other == {"slower": "faster", "faster": "slower"}.get(one, one)


@settings(max_examples=60, deadline=None)
@given(samples, st.floats(1e-3, 1e3))
def test_the_unit_does_not_matter(values, factor):
    scaled = stats.summary([value * factor for value in values])
    assert scaled.median == pytest.approx(factor * stats.summary(values).median)
    assert (scaled.interval is None) == (len(values) == 1)


@settings(max_examples=60, deadline=None)
@given(samples.filter(lambda values: len(values) > 1))
def test_an_interval_stays_within_the_sample(values):
    interval = stats.summary(values).interval
    rounding = 1 + 1e-12  # of a quantile between two equal values
    assert min(values) / rounding <= interval.low <= interval.high <= max(values) * rounding


@settings(max_examples=60, deadline=None)
@given(samples, samples)
def test_the_same_data_always_give_the_same_answer(a, b):
    assert stats.ratio(a, b) == stats.ratio(a, b)
    assert stats.summary(a) == stats.summary(a)
    assert all(isinstance(line, str) for line in stats.warnings(a))


def test_another_process_gives_the_same_answer():
    source = "from orchestrator.judge import stats; i = stats.summary([1.0, 1.2, 1.1, 1.4, 1.3]).interval; print([i.low, i.high])"
    printed = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True).stdout
    interval = stats.summary([1.0, 1.2, 1.1, 1.4, 1.3]).interval
    assert json.loads(printed) == [interval.low, interval.high]


def test_many_repeats_do_not_take_all_memory():
    generator = np.random.default_rng(3)
    found = stats.ratio(draw(generator, 2_000, 110.0), draw(generator, 2_000))
    assert found.estimate == pytest.approx(1.1, rel=0.01)
    assert stats.decide(found) == "slower"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([112, 100, 101, 99, 100], "the first repeat was 12 % slower than the rest: something warmed up"),
        ([88, 100, 101, 99, 100], "the first repeat was 12 % faster than the rest: something slowed down afterwards"),
        ([100, 101, 99, 150, 100, 101], "1 of 6 repeats lies up to 49 % from the median"),
        ([100, 101, 99, 150, 100, 101, 100, 102, 99, 60], "2 of 10 repeats lie up to 50 % from the median"),
        ([100, 140, 80, 120, 95], "the repeats differ by"),
        ([100, 140], "the repeats differ by"),
    ],
)
def test_what_is_odd_is_said_in_plain_words(values, expected):
    (line,) = stats.warnings([float(value) for value in values])
    assert line.startswith(expected)


@pytest.mark.parametrize("values", [[1.0], [100, 101], [100, 101, 99], [100, 100, 100, 100, 104], [103, 100, 101, 99]])
def test_what_is_not_odd_is_not_reported(values):
    assert stats.warnings([float(value) for value in values]) == []


def test_quiet_runs_are_seldom_called_odd():
    generator = np.random.default_rng(5)
    assert sum(bool(stats.warnings(draw(generator))) for _ in range(100)) <= 15


@pytest.mark.parametrize(
    ("values", "start", "settled"),
    [
        ([30.0, 10.0], 1, True),
        ([10.0, 10.0, 10.0], 1, True),  # the first never counts
        ([30, 10.1, 9.9, 10, 10.1, 10], 1, True),
        ([30, 20, 14, 10.1, 9.9, 10, 10.1, 10], 3, True),
        ([30, 10, 10, 25, 10, 10, 10, 10], 1, True),  # one slow batch in the middle is no warm-up
        ([10, 11, 12, 13, 14, 15, 16, 17, 18, 19], None, False),  # it never settles: heat, for example
    ],
)
def test_where_a_job_becomes_steady(values, start, settled):
    found = stats.steady([float(value) for value in values])
    assert found.settled == settled
    if start is not None:
        assert found.start == start


@pytest.mark.parametrize("values", [[], [1.0], [0.0, 0.0, 0.0]])
def test_without_a_second_measurement_there_is_no_steady_state(values):
    assert stats.steady(values) is None


@settings(max_examples=100, deadline=None)
@given(st.lists(times, min_size=2, max_size=40))
def test_a_steady_state_is_part_of_the_job(values):
    found = stats.steady(values)
    assert 1 <= found.start < len(values)
    assert min(values) <= found.seconds <= max(values)


def test_shares_are_compared_with_their_binomial_uncertainty():
    same = stats.share_difference((7650, 10_000), (7700, 10_000), 0.99)
    assert same.low < 0 < same.high
    other = stats.share_difference((7650, 10_000), (7350, 10_000), 0.99)
    assert other.high < 0
    # Newcombe (1998), table II, row (a), method 10: 56/70 against 48/80.
    published = stats.share_difference((48, 80), (56, 70), 0.95)
    assert (published.low, published.high) == (pytest.approx(0.0524, abs=1e-4), pytest.approx(0.3339, abs=1e-4))


@pytest.mark.parametrize("share", [(0, 10), (10, 10)])
def test_a_share_of_nothing_or_all_has_an_interval_too(share):
    found = stats.share_difference(share, share, 0.99)
    assert found.low < 0 < found.high


def shift(to, of, axis):
    """The median of all differences; of very many, the difference of the medians."""
    if of.shape[-1] * to.shape[-1] > stats.MAX_PAIRS:
        return np.median(of, axis=axis) - np.median(to, axis=axis)
    pairs = of[..., :, None] - to[..., None, :]
    return np.median(pairs.reshape(*pairs.shape[:-2], -1), axis=axis)


@pytest.mark.parametrize("sizes", [(5,), (6,), (101,), (5, 8), (30, 31), (120, 110)])
def test_intervals_are_those_of_scipys_bootstrap(sizes):
    from scipy.stats import bootstrap

    arrays = [np.random.default_rng(size).lognormal(size=size) for size in sizes]
    statistic = resampling.median if len(sizes) == 1 else resampling.shift

    def along(*drawn, axis):
        assert axis == -1
        return statistic(*drawn)

    seed = np.frombuffer(hashlib.sha256(b"".join(array.tobytes() for array in arrays)).digest(), np.uint32)
    theirs = bootstrap(
        arrays, along, n_resamples=resampling.RESAMPLES, batch=resampling.BATCH, vectorized=True, method="percentile",
        rng=np.random.default_rng(seed),
    )  # fmt: skip
    low, high = np.quantile(theirs.bootstrap_distribution, (0.5 - 0.9 / 2, 0.5 + 0.9 / 2))
    assert resampling.bootstrap(arrays, statistic, [0.9]) == [(low, high)]


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=20))
def test_the_median_is_numpys_to_the_bit(values):
    assert resampling.median(np.array(values)) == np.median(values)


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_the_quantiles_of_t_are_scipys(level):
    from scipy.stats import t

    assert all(stats.t_quantile(level, freedom) == t.ppf(0.5 + level / 2, freedom) for freedom in range(1, 60))
