"""A GRU for Chainer: cuDNN's where there is a GPU, else a cell whose pointwise part is one function.

Chainer's own n_step_gru on a CPU does not know that all sequences are of one length: it multiplies each time step's
input by weights that it has concatenated anew, and takes a dozen functions per step for the gates.
"""

import chainer
import chainer.functions as F
import numpy as np
from chainer.backends import cuda


class Gru(chainer.Link):
    """A gated recurrent unit, in the form of cuDNN: (time, batch, inputs) -> the last h, (batch, units).

    Parameters have the gates stacked in the order r, z, n: (3 · units, inputs), (3 · units, units), (3 · units,)."""

    def __init__(self, inputs, units):
        super().__init__()
        with self.init_scope():
            self.weight_ih = chainer.Parameter(0, (3 * units, inputs))
            self.weight_hh = chainer.Parameter(0, (3 * units, units))
            self.bias_ih = chainer.Parameter(0, (3 * units,))
            self.bias_hh = chainer.Parameter(0, (3 * units,))

    def forward(self, x):
        units = self.weight_hh.shape[1]
        h = self.xp.zeros((x.shape[1], units), x.dtype)
        return self.fused(x, h) if self.xp is cuda.cupy else self.recurrence(x, h)

    def fused(self, x, h):
        weights = [*F.split_axis(self.weight_ih, 3, axis=0), *F.split_axis(self.weight_hh, 3, axis=0)]
        biases = [*F.split_axis(self.bias_ih, 3, axis=0), *F.split_axis(self.bias_hh, 3, axis=0)]
        last, _ = F.n_step_gru(1, 0.0, h[None], [weights], [biases], F.separate(x))
        return last[0]

    def recurrence(self, x, h):
        from_x = F.linear(x, self.weight_ih, self.bias_ih, n_batch_axes=2)  # of all steps in one matrix product
        for step in F.separate(from_x):
            from_h = F.linear(h, self.weight_hh, self.bias_hh)
            (h,) = GruCell().apply((step, from_h, h))
        return h


class GruCell(chainer.FunctionNode):
    """A step after its two matrix products, for NumPy arrays; what chainer.functions.lstm is for an LSTM.

    (W x + b, U h + c, h) -> h', of shapes (batch, 3 · units), (batch, 3 · units), (batch, units)"""

    def forward_cpu(self, inputs):
        from_x, from_h, h = inputs
        units = h.shape[1]
        rz = sigmoid(from_x[:, : 2 * units] + from_h[:, : 2 * units])
        r, z = rz[:, :units], rz[:, units:]
        past = from_h[:, 2 * units :]
        n = tanh(from_x[:, 2 * units :] + r * past)
        self.values = r, z, n, past, h
        return (n + z * (h - n),)

    def backward(self, indexes, grad_outputs):
        r, z, n, past, h = self.values
        dh = grad_outputs[0].array
        dn = dh * (1 - z) * (1 - n * n)
        dz = dh * (h - n) * z * (1 - z)
        dr = dn * past * r * (1 - r)
        gradients = np.concatenate([dr, dz, dn], axis=1), np.concatenate([dr, dz, dn * r], axis=1), dh * z
        return tuple(chainer.as_variable(gradient) for gradient in gradients)


def sigmoid(x):
    """σ(x) = 1 / (1 + e⁻ˣ). NumPy has exp, not tanh, in vector instructions; where it overflows, σ is 0."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def tanh(x):
    return 2 * sigmoid(2 * x) - 1
