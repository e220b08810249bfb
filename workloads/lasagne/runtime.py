"""Where a Lasagne job runs: its seed, and how to wait for its device."""

import lasagne
import numpy as np
import theano
from theano import tensor as T

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


def adam(loss, parameters, beta2, epsilon, **options):
    """The updates of Adam as published: w ← w − lr · m̂ / (√v̂ + ε).

    Lasagne adds ε to √v, which still lacks the bias correction √(1 − β₂ᵗ); scaled by the same factor, ε is ε again."""
    steps = theano.shared(np.float32(0), "steps")
    scaled = epsilon * T.sqrt(1 - beta2 ** (steps + 1))
    updates = lasagne.updates.adam(loss, parameters, beta2=beta2, epsilon=scaled, **options)
    updates[steps] = steps + 1
    return updates
