"""Compares the rate of a job with what its machine can do at most. Pure.

The work is what the workload declares: the operations of the plain algorithm in the forward pass, three times as many
for a training step, and the weights, which every batch reads and a training step also writes.
"""

from __future__ import annotations

import math

from orchestrator.host import peak
from orchestrator.host.peak import Peak
from orchestrator.record.results import Result
from orchestrator.strict import Strict

PASSES = 3  # of a training step: the backward pass computes two products for each one of the forward pass
FLOAT = 4  # bytes


class Plausibility(Strict):
    """How fast a job worked, and whether its machine can be that fast."""

    flops: float  # declared floating point operations a second
    bandwidth: float  # bytes of weights a second
    of_peak: float | None  # the larger share of this machine's measured peaks; None where they were not measured
    impossible: bool  # the share is above 1: not possible with the plain algorithm in float32


def of_result(result: Result, measured: Peak | None) -> Plausibility | None:
    """The rate of a job against what was `measured` on its machine; None for a job without a rate."""
    figures, job, workload = result.figures, result.job, result.job.declaration
    rate = figures.train_samples_per_s if workload.trains else figures.images_per_s
    if not rate:
        return None
    weights = sum(math.prod(each.shape) for each in workload.weights_for(job.settings).values()) * FLOAT
    batch = job.settings["batch"] * job.settings.get("context", 1)  # a window has so many samples
    flops = rate * workload.operations_for(job.settings) * (PASSES if workload.trains else 1)
    bandwidth = rate / batch * weights * (2 if workload.trains else 1)
    host = result.provenance.host
    known = None
    if job.device == "cpu" and job.precision != "amp":
        known = peak.of_job(measured, host.id, host.cpu, host.cpus_used)
    share = None if known is None else max(flops / known.flops, bandwidth / known.bandwidth)
    return Plausibility(flops=flops, bandwidth=bandwidth, of_peak=share, impossible=share is not None and share > 1)
