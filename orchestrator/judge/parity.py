"""Judges whether a cell computes what the reference computes, or which known mistake explains the difference. Pure.

The reference is the same workload in float64. How far rounding alone may lead away from it is measured: the reference
also runs in float32, several times, and the envelope is ALLOWANCE times the largest distance. docs/parity.md explains
why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from orchestrator.record.certificates import Envelope, Parity

# Frameworks add numbers in other orders than the reference, and some use faster algorithms with larger errors.
# docs/parity.md has the distances measured in this project's containers.
ALLOWANCE = 32.0
FP32_EPSILON = 2.0**-23  # the least error that is allowed: a float32 result is not more precise
NEARER = 100.0  # a planted mistake explains a cell that is this many times nearer to it than to the reference,
CLOSE = 0.01  # and at most this far from it, relative


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What is compared: the loss of each training step, what the first step did to each weight, and the probe.

    The probe is float64 (n, k): log-probabilities of all test samples after the training, or the features of the first
    batch; None if the job ended before. An update is the weight after the first step minus the initial one, by the
    weight's name; the names go from the input of the model to its output. `scored` is how many test samples the
    workload reported as scored, None if it reported none.
    """

    losses: tuple[float, ...]
    probe: NDArray[np.float64] | None
    updates: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    scored: int | None = None


@dataclass(frozen=True, kw_only=True)
class ReferenceRun:
    """The results of the reference for one workload."""

    trace: Trace  # in float64
    envelope: Envelope
    initial: Trace | None  # of the job in dropout.py, which moves no weight; None if there is no dropout
    versions: Mapping[str, str]


def log_probabilities(scores: NDArray[Any]) -> NDArray[np.float64]:
    """Scores (n, classes), logits or probabilities, as log-probabilities.

    The protocol allows both. Rows of numbers from 0 to 1 whose sum is 1 are taken for probabilities. A constant added
    to all logits of a row does not change the result.
    """
    found = np.asarray(scores, np.float64)
    if found.min() >= 0 and np.abs(found.sum(axis=1) - 1).max() < 1e-5:
        logits = np.log(np.maximum(found, np.finfo(np.float64).tiny))
    else:
        logits = found - found.max(axis=1, keepdims=True)
    normalised: NDArray[np.float64] = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return normalised


def envelope(reference: Trace, rounded: Sequence[Trace]) -> Envelope:
    """How far from the reference a correct float32 computation may be; `rounded` are its own runs in float32.

    Errors of a training grow with the steps, but one of them may be small by chance. So each step is allowed at least
    the error of the step before it. Raises ValueError when they are not runs of the same job.
    """
    steps, probe = np.full(len(reference.losses), FP32_EPSILON), FP32_EPSILON
    updates = dict.fromkeys(reference.updates, FP32_EPSILON)
    for run in rounded:
        error = probe_error(reference.probe, run.probe)
        moved = update_errors(reference.updates, run.updates)
        if len(reference.losses) != len(run.losses) or error is None or set(moved) != set(updates):
            raise ValueError("the reference's runs in float64 and float32 are not of the same job")
        steps, probe = np.maximum(steps, loss_errors(reference.losses, run.losses)), max(probe, error)
        updates = {name: max(worst, moved[name]) for name, worst in updates.items()}
    return Envelope(
        losses=tuple(ALLOWANCE * float(each) for each in np.maximum.accumulate(steps)),
        probe=ALLOWANCE * probe,
        updates={name: ALLOWANCE * worst for name, worst in updates.items()},
    )


def loss_errors(expected: Sequence[float], found: Sequence[float]) -> tuple[float, ...]:
    """Relative errors of the steps that both have."""
    return tuple(abs(there - here) / max(abs(here), FP32_EPSILON) for here, there in zip(expected, found, strict=False))


def update_errors(
    expected: Mapping[str, NDArray[np.float64]], found: Mapping[str, NDArray[np.float64]]
) -> dict[str, float]:
    """Relative errors of the updates that both have: the Euclidean norm of the difference over that of the expected."""
    return {
        name: float(np.linalg.norm(found[name] - update) / max(float(np.linalg.norm(update)), np.finfo(float).tiny))
        for name, update in expected.items()
        if name in found and found[name].shape == update.shape
    }


def probe_error(expected: NDArray[np.float64] | None, found: NDArray[np.float64] | None) -> float | None:
    """The largest difference, relative to the largest number expected; None if there is nothing to compare."""
    if expected is None or found is None or expected.shape != found.shape:
        return None
    return float(np.abs(found - expected).max() / max(float(np.abs(expected).max()), FP32_EPSILON))


def judge(cell: Trace, reference: Trace, allowed: Envelope, *, broke_off: str = "") -> Parity:
    """Compare a cell with the reference. `broke_off` is why a training ended early; empty if it did not."""
    found = _measured(cell, reference, allowed)
    if (divergence := _divergence(found, cell, reference, allowed)) is not None:
        why, mistakes = divergence
        return Parity(word="diverges", why=why, culprits=mistakes, **found)
    missing = broke_off or _missing(found, cell, reference)
    if missing:
        return Parity(word="not run", why=missing, **found)
    if found["probe_error"] > allowed.probe:
        what = "scores after the training" if reference.losses else "features"
        why = f"the {what} are off by {found['probe_error']:.1e}, rounding explains {allowed.probe:.1e}"
        return Parity(word="diverges", why=why, **found)
    return Parity(word="certified", why="", **found)


def _measured(cell: Trace, reference: Trace, allowed: Envelope) -> dict[str, Any]:
    """The errors of a cell, as fields of Parity."""
    errors = loss_errors(reference.losses, cell.losses)
    expected = _expected_probe(cell, reference)
    error = probe_error(expected, cell.probe)
    moved = update_errors(reference.updates, cell.updates)
    return {
        "loss_errors": errors,
        "update_errors": moved,
        "weights": tuple(name for name, each in moved.items() if each > allowed.updates[name]),
        "probe_error": error,
        "cosine": None if error is None else _cosine(cell.probe, expected),
        "times_rounding": _times_rounding(errors, moved, error, allowed),
        "first_step": next((n for n, each in enumerate(errors, start=1) if each > allowed.losses[n - 1]), None),
    }


def _expected_probe(cell: Trace, reference: Trace) -> NDArray[np.float64] | None:
    """The reference's probe, cut to the samples that the cell scored, so that those can be compared."""
    if cell.scored == reference.scored or cell.scored is None or reference.probe is None:
        return reference.probe
    return reference.probe[: cell.scored]


def _divergence(
    found: Mapping[str, Any], cell: Trace, reference: Trace, allowed: Envelope
) -> tuple[str, tuple[str, ...]] | None:
    """Why a cell diverges, the first reason in the order of a training, and the mistakes that this reason names."""
    first, wrong = found["first_step"], found["weights"]
    if first is not None:
        off, limit = found["loss_errors"][first - 1], allowed.losses[first - 1]
        return f"the loss of step {first} is off by {off:.1e}, rounding explains {limit:.1e}", ()
    if wrong:
        name = wrong[-1]
        off, limit = found["update_errors"][name], allowed.updates[name]
        return f"the first update of {name} is off by {off:.1e}, rounding explains {limit:.1e}", ()
    if cell.scored is not None and reference.scored is not None and cell.scored != reference.scored:
        error = found["probe_error"]
        truncated = cell.scored < reference.scored and error is not None and error <= allowed.probe
        why = f"it scored {cell.scored} test samples of {reference.scored}"
        return why, ("test-truncated",) if truncated else ()
    return None


def _missing(found: Mapping[str, Any], cell: Trace, reference: Trace) -> str:
    """What a cell did not report; empty if nothing is missing."""
    if len(cell.losses) != len(reference.losses):
        return f"it reported {len(cell.losses)} of {len(reference.losses)} losses"
    if set(found["update_errors"]) != set(reference.updates):
        missing = next(name for name in reference.updates if name not in found["update_errors"])
        return f"it did not show {missing} after the first step"
    return "it left no scores or features to compare" if found["probe_error"] is None else ""


def at(verdict: Parity) -> str:
    """The layer or value that was first outside the envelope, and the step; empty if none was."""
    if verdict.word not in ("declared", "diverges"):
        return ""
    if verdict.first_step == 1:
        return "loss, step 1"
    if verdict.weights:  # of the first step; `where` explains why the last one is shown
        return f"{verdict.weights[-1].rpartition('.')[0] or verdict.weights[-1]}, step 1"
    if verdict.first_step is not None:
        return f"loss, step {verdict.first_step}"
    if any(name.startswith("dropout-") for name in verdict.culprits):
        return "dropout, step 1"
    return f"scores, after step {len(verdict.loss_errors)}" if verdict.loss_errors else "features"


def where(verdict: Parity) -> str:
    """Where to look for the mistake, by the first step outside the envelope; empty if none was."""
    if verdict.word not in ("declared", "diverges"):
        return ""
    if verdict.first_step == 1:
        return "the first loss is wrong already: look at the data, the model or the loss"
    if verdict.weights:
        # Gradients flow from the loss back to the input: the last wrong weight is the first that they reach.
        right = len(verdict.update_errors) - len(verdict.weights)
        return (
            f"the first loss is right, and so is the first update of {right} of {len(verdict.update_errors)} weights; "
            f"of the others {verdict.weights[-1]} is nearest to the loss: look at its gradient, or the optimiser"
        )
    if verdict.first_step is not None:
        return "the first loss and the first update are right: look at what the optimiser keeps between steps"
    return "all losses are right: look at the evaluation" if verdict.loss_errors else "look at the model or its input"


def explain(cell: Trace, reference: Trace, planted: Mapping[str, Trace], allowed: Envelope) -> tuple[str, ...]:
    """The names of the planted mistakes that explain the cell, the nearest first.

    A mistake explains a cell that is within the envelope around it; or a hundred times nearer to it than to the
    reference and within 1 %: some mistakes let rounding errors grow faster than in the reference.
    """
    limit = distance(cell, reference, allowed).envelopes / NEARER
    found = sorted((distance(cell, trace, allowed), name) for name, trace in planted.items())
    return tuple(
        name for apart, name in found if apart.envelopes <= 1 or (apart.envelopes <= limit and apart.relative <= CLOSE)
    )


class Apart(NamedTuple):
    """How far a cell is from another trace."""

    envelopes: float  # at most 1: rounding alone explains it
    relative: float  # the largest relative error


def distance(cell: Trace, other: Trace, allowed: Envelope) -> Apart:
    """How far apart two traces are: infinitely, if their trainings end more than two steps apart."""
    if abs(len(cell.losses) - len(other.losses)) > 2:
        return Apart(float("inf"), float("inf"))
    errors = list(zip(loss_errors(other.losses, cell.losses), allowed.losses, strict=False))
    error = probe_error(other.probe, cell.probe)
    if error is not None:
        errors.append((error, allowed.probe))
    worst = max((error / limit for error, limit in errors), default=float("inf"))
    return Apart(worst, max((error for error, _ in errors), default=float("inf")))


def _times_rounding(
    losses: Sequence[float], updates: Mapping[str, float], probe: float | None, allowed: Envelope
) -> float | None:
    """The largest error in units of the error of float32 in the reference; None if there was nothing to compare."""
    shares = [error / limit for error, limit in zip(losses, allowed.losses, strict=False)]
    shares += [error / allowed.updates[name] for name, error in updates.items()]
    shares += [] if probe is None else [probe / allowed.probe]
    return min(ALLOWANCE * max(shares), float(np.finfo(float).max)) if shares else None


def _cosine(a: NDArray[np.float64] | None, b: NDArray[np.float64] | None) -> float | None:
    if a is None or b is None:
        return None
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.vdot(a, b)) / norms if norms else None
