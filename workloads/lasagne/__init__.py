"""The workloads in Lasagne 0.1 on Theano 1.0. Importing this package makes `import lasagne` work.

Lasagne 0.1 asks for a module that Theano 0.9 renamed, with parameters that Theano 0.9 renamed too.
"""

import sys
import types

from theano.tensor import signal
from theano.tensor.signal.pool import pool_2d


def max_pool_2d(input, ds, st=None, ignore_border=False, padding=(0, 0), mode="max"):
    """Theano 0.7's pooling as a call of Theano 1.0's."""
    return pool_2d(input, ws=ds, stride=st, ignore_border=ignore_border, pad=padding, mode=mode)


signal.downsample = types.ModuleType("theano.tensor.signal.downsample")
signal.downsample.max_pool_2d = max_pool_2d
sys.modules[signal.downsample.__name__] = signal.downsample
