"""How often the decisions of stats.py, rounds.py and reproduce.py are right: `python -m tests.benchmarks.decisions`.

Draws runs of known speed with lognormal noise, lets the code decide, counts. The tables of docs/statistics.md are its
output. Takes minutes; judges nothing.
"""

import collections
import math

import numpy as np

from orchestrator.judge import reproduction, rounds, stats
from orchestrator.plan.spec import Spec
from tests.support.results import runs, trained

DRAWS = 500
SEED = 20261123


def draw(generator, n, noise, seconds=100.0):
    return generator.lognormal(math.log(seconds), noise, n).tolist()


def share(count):
    return f"{100 * count / DRAWS:.0f} %"


def words(decide):
    """How often `decide` gives which word."""
    counted = collections.Counter(decide() for _ in range(DRAWS))
    return ", ".join(f"{word} {share(count)}" for word, count in counted.most_common())


def coverage(generator, n):
    """How often the interval of the median, and of the ratio, holds the truth."""
    medians = [stats.summary(draw(generator, n, 0.025)).interval for _ in range(DRAWS)]
    ratios = [stats.ratio(draw(generator, n, 0.025), draw(generator, n, 0.025)).interval for _ in range(DRAWS)]
    return [
        share(sum(interval.low <= truth <= interval.high for interval in found))
        for found, truth in ((medians, 100.0), (ratios, 1.0))
    ]


def settled(a, b):
    """Whether `repeats: auto` asks for no further round of two rows with these seconds."""
    results = [
        trained(framework, seconds, repeat=repeat)
        for framework, times in (("a", a), ("b", b))
        for repeat, seconds in enumerate(times, start=1)
    ]
    endless = Spec(name="t", repeats="auto", workloads=("cnn",), budget=1e9)
    return not rounds.following(endless, [each.job for each in results], results).jobs


def ranked_by_mistake(generator, noise, looks):
    """How often the table after `repeats: auto` ranks two rows of the same speed; so many rounds fit in the budget."""
    wrong = 0
    for _ in range(DRAWS):
        a, b = draw(generator, looks, noise), draw(generator, looks, noise)
        n = next((n for n in range(rounds.ENOUGH, looks) if settled(a[:n], b[:n])), looks)
        found = stats.ratio(a[:n], b[:n])
        wrong += stats.distinguishable(found) and stats.decide(found) != "same"
    return share(wrong)


def main():
    generator = np.random.default_rng(SEED)
    say = print
    say("coverage of 95 % intervals: n, median, ratio")
    for n in (5, 6, 7, 10, 20):
        say(n, *coverage(generator, n))
    say("compare: noise, n, true ratio, words")
    for noise in (0.01, 0.025, 0.05):
        for n in (5, 10):
            for ratio in (1.0, 1.05, 1.1, 1.2):
                verdict = words(
                    lambda noise=noise, n=n, ratio=ratio: stats.decide(
                        stats.ratio(draw(generator, n, noise, 100 * ratio), draw(generator, n, noise))
                    )
                )
                say(f"{100 * noise:g} %", n, ratio, verdict)
    say("repeats auto: noise, two equal rows ranked within 20 rounds")
    for noise in (0.025, 0.05):
        say(f"{100 * noise:g} %", ranked_by_mistake(generator, noise, 20))
    say("reproduce, 3 repeats against 1: noise, true ratio, words")
    for noise in (0.005, 0.01, 0.025):
        for ratio in (1.0, 1.05, 1.1, 1.2):
            verdict = words(
                lambda noise=noise, ratio=ratio: (
                    reproduction.verdict(
                        runs(*draw(generator, 1, noise)), runs(*draw(generator, 3, noise, 100 * ratio))
                    ).word
                )
            )
            say(f"{100 * noise:g} %", ratio, verdict)


if __name__ == "__main__":
    main()
