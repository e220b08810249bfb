"""Where a Keras 2 job runs: its backend, how to wait for it, and how its weights are laid out."""

import importlib

import keras
import numpy as np
from keras import backend as K
from keras.utils import conv_utils


def start(job, fused=None, notes=()):
    """Set Keras and its backend up for this job and announce it."""
    np.random.seed(job.seed)  # noqa: NPY002  (dropout layers draw their seeds from it)
    K.set_image_data_format("channels_first")
    backend = importlib.import_module("workloads.{}.runtime".format(K.backend()))
    backend.configure(job)
    facts = backend.facts(notes)
    facts["versions"][K.backend()] = importlib.import_module(K.backend()).__version__
    job.start(version=keras.__version__, fused=fused, **facts)


def synchronize(model):
    """Wait until every update of `model` has happened: reading a weight waits for the device."""
    K.get_value(model.weights[-1])


def compile_ahead(model, x, y):
    """Compile training and prediction of `model` for batches like `x` and `y`, and leave no trace of having done so.

    Backends compile when they first run. The one step this takes is undone: in the weights, and in the state of the
    optimiser, all of which starts at zero."""
    before = model.get_weights()
    model.train_on_batch(x, y)
    model.predict_on_batch(x)
    model.set_weights(before)
    model.optimizer.set_weights([np.zeros_like(state) for state in model.optimizer.get_weights()])


def dense(weights, name):
    """The kernel and bias of a Dense layer: (out, in) becomes (in, out)."""
    return [np.ascontiguousarray(weights[name + ".weight"].T), weights[name + ".bias"]]


def kernel(weight):
    """The kernel of a convolution: OIHW becomes HWIO, upside down for a backend that convolves in the strict sense."""
    kernel = np.ascontiguousarray(weight.transpose(2, 3, 1, 0))
    return conv_utils.convert_kernel(kernel) if K.backend() == "theano" else kernel


def oihw(kernel):
    """The weight that kernel() made `kernel` of: what is upside down turns back, HWIO becomes OIHW."""
    kernel = conv_utils.convert_kernel(kernel) if K.backend() == "theano" else kernel
    return kernel.transpose(3, 2, 0, 1)


class Adam(keras.optimizers.Adam):
    """Adam as published: w ← w − lr · m̂ / (√v̂ + ε).

    Keras adds ε to √v, which still lacks the bias correction √(1 − β₂ᵗ); scaled by the same factor, ε is ε again."""

    def get_updates(self, loss, params):
        epsilon, step = self.epsilon, K.cast(self.iterations, K.floatx()) + 1
        self.epsilon = epsilon * K.sqrt(1 - K.pow(self.beta_2, step))
        updates = super().get_updates(loss=loss, params=params)
        self.epsilon = epsilon
        return updates
