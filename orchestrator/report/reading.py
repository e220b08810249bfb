"""Reads runs for the HTML report."""

from __future__ import annotations

from orchestrator.judge import conditions
from orchestrator.record.results import firsts, split_damaged
from orchestrator.record.run_folder import RunSource
from orchestrator.report import curves
from orchestrator.report.notices import Measured


def measured(source: RunSource) -> Measured:
    """A run with its results, and with the course over time of the jobs that are drawn. Raises StoreError.

    A result that cannot be read is an error in `damaged`.
    """
    run = source.read_run()
    results, damaged = split_damaged(conditions.sound(source.each_result(), source.id))
    drawn = firsts(results)
    return Measured(
        run=run,
        results=tuple(results),
        curves={job: curves.of_events(source.events(job)) for job in drawn},
        usage={job: used for job in drawn if (used := source.usage(job)) is not None},
        damaged=tuple(damaged),
    )
