"""Judges whether a cell uses dropout correctly: on while it trains, off while it is scored. Pure.

Frameworks draw different numbers, so no two can be compared while dropout is on. A workload with dropout therefore runs
a second time, with dropout, and with a learning rate so small that no weight changes: its scores must be those of
the initial weights, and its first loss must not be the one without dropout. It has as many training samples as the
first job: the order of batches depends on their number, and the two first losses have to be of the same batch.
"""

from __future__ import annotations

from orchestrator.judge import parity
from orchestrator.judge.parity import ReferenceRun, Trace
from orchestrator.plan.jobs import Job
from orchestrator.plan.workload import TrainingWorkload
from orchestrator.record.certificates import Parity

STANDSTILL = 1e-30  # a learning rate; w - 1e-30 v is w in float32 and in float64
_SUFFIX = "-dropout"


def job(first: Job, *, on: bool) -> Job | None:
    """The second job of the cell that `first` verifies, with dropout on or off; None for a workload without dropout."""
    workload = first.declaration
    if not isinstance(workload, TrainingWorkload) or not workload.dropout:
        return None
    rates = {name: rate if on else 0.0 for name, rate in workload.dropout.items()}
    settings = {**first.settings, **rates, "lr": STANDSTILL}
    return first.model_copy(update={"id": second(first.id), "trace": 1, "settings": settings})


def second(first: str) -> str:
    """The id of the second job."""
    return first + _SUFFIX


def is_second(job: str) -> bool:
    """Whether this is the id of a second job."""
    return job.endswith(_SUFFIX)


def judge(verdict: Parity, cell: Trace, dropped: Trace, reference: ReferenceRun) -> Parity:
    """The verdict on a cell from its first `verdict` and its second job `dropped`."""
    initial = reference.initial or Trace(losses=(), probe=None)
    limit, allowed = reference.envelope.losses[0], reference.envelope.probe
    error = parity.probe_error(initial.probe, dropped.probe)
    verdict = verdict.model_copy(update={"dropout_error": error})
    if _apart(cell, dropped) <= limit < _apart(cell, reference.trace):
        return verdict.model_copy(update={"culprits": ("dropout-always",)})
    if _apart(dropped, initial) <= limit:
        return _diverges(verdict, "dropout changes nothing in the first loss", "dropout-never")
    if error is None:
        return verdict.model_copy(update={"word": "not run", "why": "with dropout it left no scores to compare"})
    if error > allowed:
        why = f"with dropout the scores of the initial weights are off by {error:.1e}, rounding explains {allowed:.1e}"
        return _diverges(verdict, why, "dropout-in-evaluation")
    return verdict


def _apart(one: Trace, other: Trace) -> float:
    """Relative difference of the first losses."""
    return max(parity.loss_errors(other.losses[:1], one.losses[:1]), default=float("inf"))


def _diverges(verdict: Parity, why: str, mistake: str) -> Parity:
    """The verdict with this divergence. A cell that also diverges without dropout keeps its simpler verdict."""
    if verdict.word == "diverges":
        return verdict
    return verdict.model_copy(update={"word": "diverges", "why": why, "culprits": (mistake,)})
