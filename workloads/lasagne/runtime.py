"""Where a Lasagne job runs: its seed, and how to wait for its device."""

import lasagne
import numpy as np

from workloads.theano import runtime as backend


def start(job, fused=None, notes=()):
    """Set Theano and Lasagne up for this job and announce it."""
    backend.configure(job)
    lasagne.random.set_rng(np.random.RandomState(job.seed))  # dropout layers draw their seeds from it
    job.start(version=lasagne.__version__, fused=fused, **backend.facts(notes))


def synchronize(variables):
    """Wait until the shared `variables` have their latest values. On a CPU they always have."""
    for variable in variables:
        value = variable.get_value(borrow=True, return_internal_type=True)
        if hasattr(value, "sync"):  # it is on a GPU
            value.sync()
