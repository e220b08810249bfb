"""`repeats: auto`: decides after every round whether another round is needed. Pure.

A table is one workload on one host; with `each_host` there is one for each host. It is settled when neighbouring rows
of its ranking are different or the same, as shown by their intervals, or when every median is known precisely enough.
Settled tables are not measured again. Repeats that something disturbed do not count, so they are measured again.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.judge import disturbances, stats
from orchestrator.plan.jobs import Job, round_of
from orchestrator.plan.spec import MAX_REPEATS, Spec
from orchestrator.record.results import Result

TableKey = tuple[str, str | None]  # workload, and the host if the job is bound to one

ENOUGH = stats.FEW  # repeats of every row that a settled table has at least
# Checking after every round, and stopping when the answer is clear, creates false positives: within 20 rounds, up to
# 12 % of cases at the usual 95 %, and up to 6 % at this level (docs/statistics.md).
LEVEL = 0.99
WIDTH = 0.02  # half the interval, relative to the median: this is precise enough


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The jobs of the next round, possibly none, and why."""

    jobs: tuple[Job, ...]
    why: str


def following(spec: Spec, jobs: Sequence[Job], results: Sequence[Result]) -> Decision:
    """Decide what follows the rounds of `jobs`, which gave `results`, in a run of `spec`.

    A framework that has failed at a workload in every round so far is not measured again.
    """
    measured = [result for result in results if result.status == "ok" and result.figures.ranking_s is not None]
    if not measured:
        return Decision(jobs=(), why="no job succeeded, so there is nothing to repeat")
    tables = _tables(measured, spec.workloads)
    settled = {table: _settled(rows) for table, rows in tables.items()}
    states = "; ".join(f"{_name(table)}: {why or _unsettled(tables[table])}" for table, why in settled.items())
    disturbed = sum(map(disturbances.is_disturbed, measured))
    if disturbed:
        states += f"; {disturbed} disturbed job{'s do' if disturbed > 1 else ' does'} not count"
    first = [
        job
        for job in jobs
        if job.repeat == 1 and job.framework in tables.get(_table(job), {}) and settled[_table(job)] is None
    ]
    repeat = max(job.repeat for job in jobs) + 1
    if not first or repeat > MAX_REPEATS:
        return Decision(jobs=(), why=f"settled after {repeat - 1} rounds: {states}")
    spent = sum(result.seconds for result in results)
    price = sum(_mean_seconds(results, job) for job in first)
    if spent + price > spec.budget:
        return Decision(
            jobs=(),
            why=f"the budget is spent: the jobs took {spent:,.0f} of {spec.budget:,.0f} s, and another round would "
            f"take about {price:,.0f} s more. {states}",
        )
    return Decision(jobs=tuple(round_of(first, repeat)), why=f"round {repeat}: {states}")


def _tables(results: Sequence[Result], workloads: Sequence[str]) -> dict[TableKey, dict[str, list[float]]]:
    """Table → framework → seconds of each undisturbed repeat; tables in the order of `workloads`.

    A framework whose repeats were all disturbed has no times.
    """
    found: dict[TableKey, dict[str, list[float]]] = {}
    for result in sorted(results, key=lambda each: workloads.index(each.job.workload)):
        times = found.setdefault(_table(result.job), {}).setdefault(result.job.framework, [])
        seconds = result.figures.ranking_s
        if seconds is not None and not disturbances.is_disturbed(result):
            times.append(seconds)
    return found


def _table(job: Job) -> TableKey:
    """The table that the job belongs to."""
    return job.workload, job.host


def _name(table: TableKey) -> str:
    workload, host = table
    return workload if host is None else f"{workload} on {host}"


def _settled(rows: Mapping[str, Sequence[float]]) -> str | None:
    """Why the table with these rows needs no further round; None if it needs one."""
    if min(map(len, rows.values())) < ENOUGH:
        return None
    if max(map(_width, rows.values())) <= WIDTH:
        return f"every median is known to ± {100 * WIDTH:.0f} %"
    ranked = sorted(rows.values(), key=statistics.median)
    if len(ranked) > 1 and all(_is_decided(slow, fast) for fast, slow in itertools.pairwise(ranked)):
        return "the ranking is decided"
    return None


def _is_decided(slow: Sequence[float], fast: Sequence[float]) -> bool:
    """Whether two neighbours in a ranking are shown to differ, or to be the same."""
    found = stats.ratio(slow, fast, LEVEL)
    return stats.distinguishable(found) or stats.decide(found) == "same"


def _unsettled(rows: Mapping[str, Sequence[float]]) -> str:
    fewest = min(map(len, rows.values()))
    if fewest < ENOUGH:
        return f"undecided before {ENOUGH} repeats"
    return f"undecided, the widest interval is ± {100 * max(map(_width, rows.values())):.0f} %"


def _width(times: Sequence[float]) -> float:
    """Half the interval of the median, relative to it."""
    found = stats.summary(times)
    return found.interval.half_width / found.median if found.interval else float("inf")


def _mean_seconds(results: Sequence[Result], like: Job) -> float:
    """The mean time of the repeats of `like` so far."""
    return statistics.fmean(
        result.seconds
        for result in results
        if (result.job.framework, _table(result.job)) == (like.framework, _table(like))
    )
