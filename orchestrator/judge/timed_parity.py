"""Whether a timed job computed what was verified: its timed pass, and the first step of its training. Pure.

A certificate says what an environment and a state of the code compute in a job that is traced. A workload could do
something else when it is timed. So every job shows a little of what its timed part computed, and that is compared with
the reference, as far as the two had the same input.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from orchestrator.judge.parity import FP32_EPSILON
from orchestrator.plan.workload import TrainingWorkload
from orchestrator.record.certificates import WEIGHTS, Certificate, FirstStep
from orchestrator.record.results import Result

SHOWN_SINCE = 2  # the version of the protocol from which on jobs show it


class Doubt(NamedTuple):
    """Why a valid certificate does not hold for a result."""

    word: Literal["stale", "diverges"]
    why: str


def doubt(result: Result, certificate: Certificate) -> Doubt | None:
    """Why the timed part of `result` is not known to compute what `certificate` verified; None if it does.

    Also None where the two cannot be compared: a training on other data, with another batch size or with dropout, or a
    result or a certificate of earlier versions.
    """
    if result.start is None or result.start.protocol < SHOWN_SINCE:
        return None
    return _training(result, certificate) if result.job.declaration.trains else _inference(result, certificate)


def _inference(result: Result, certificate: Certificate) -> Doubt | None:
    expected, found = certificate.features, result.figures.timed_features
    if not expected:
        return None
    if len(found) != len(expected):
        return Doubt("stale", "the timed pass did not show its features")
    error = max(abs(there - here) for there, here in zip(expected, found, strict=True))
    if error <= certificate.features_tolerance:
        return None
    return Doubt("diverges", f"the features of the timed pass differ by {error:.2g}; rounding explains less")


def _training(result: Result, certificate: Certificate) -> Doubt | None:
    verified, found = certificate.first_step, result.figures.first_loss
    if verified is None or not _same_step(result, certificate, verified):
        return None
    if found is None:
        return Doubt("stale", "the training did not show the loss of its first step")
    error = abs(found - verified.loss) / max(abs(verified.loss), FP32_EPSILON)
    if error <= certificate.envelope.losses[0]:
        return None
    loss = f"{found:.6g}, that of the reference {verified.loss:.6g}"
    return Doubt("diverges", f"the loss of the first timed step is {loss}")


def _same_step(result: Result, certificate: Certificate, verified: FirstStep) -> bool:
    """Whether the first step of a timed training had the samples of the verified one, and no dropout either."""
    settings, data, workload = result.job.settings, result.provenance.data, result.job.declaration
    dropout = workload.dropout if isinstance(workload, TrainingWorkload) else {}
    return (
        data is not None
        and data.fingerprint == certificate.data
        and (workload.sized_weights is None or data.inputs.get(WEIGHTS) == certificate.weights_sha256)
        and (settings["batch"], settings["train_samples"]) == (verified.batch, verified.train_samples)
        and not any(settings.get(rate) for rate in dropout)
    )
