"""Import this before Lasagne 0.1: it gives Theano 1.0 the pooling that Lasagne asks for, under its name of Theano 0.7."""

import sys
import types

from theano.tensor import signal
from theano.tensor.signal.pool import pool_2d


def max_pool_2d(x, ds, st=None, ignore_border=False, padding=(0, 0), mode="max"):
    return pool_2d(x, ws=ds, stride=st, ignore_border=ignore_border, pad=padding, mode=mode)


signal.downsample = types.ModuleType("theano.tensor.signal.downsample")
signal.downsample.max_pool_2d = max_pool_2d
sys.modules[signal.downsample.__name__] = signal.downsample
