"""Where a Lasagne job runs: the device, the libraries behind it, and how to wait for it."""

import lasagne
import numpy as np

from workloads.theano import toolchain


def start(job, fused=None, notes=()):
    """Set Lasagne up for this job and announce it."""
    toolchain.check()
    lasagne.random.set_rng(np.random.RandomState(job.seed))
    job.start(version=lasagne.__version__, versions=toolchain.versions(), fused=fused, notes=notes)


def synchronize(variables):
    """Wait until the shared `variables` have their latest values. On a CPU they always have."""
    for variable in variables:
        value = variable.get_value(borrow=True, return_internal_type=True)
        if hasattr(value, "sync"):
            value.sync()
