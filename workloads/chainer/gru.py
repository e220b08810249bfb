"""A GRU for Chainer: cuDNN's where there is a GPU, else one function over all time steps.

Chainer's own n_step_gru on a CPU does not know that all sequences are of one length: it multiplies each time step's
input by weights that it has concatenated anew, and takes a dozen functions per step for the gates, each with its own
place in the graph that gradients flow back through.
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
        return self.fused(x) if self.xp is cuda.cupy else self.recurrence(x)

    def fused(self, x):
        weights = [*F.split_axis(self.weight_ih, 3, axis=0), *F.split_axis(self.weight_hh, 3, axis=0)]
        biases = [*F.split_axis(self.bias_ih, 3, axis=0), *F.split_axis(self.bias_hh, 3, axis=0)]
        h = self.xp.zeros((1, x.shape[1], self.weight_hh.shape[1]), x.dtype)
        last, _ = F.n_step_gru(1, 0.0, h, [weights], [biases], F.separate(x))
        return last[0]

    def recurrence(self, x):
        from_x = F.linear(x, self.weight_ih, self.bias_ih, n_batch_axes=2)  # of all steps in one matrix product
        (h,) = Recurrence().apply((from_x, self.weight_hh, self.bias_hh))
        return h


class Recurrence(chainer.FunctionNode):
    """What follows the product with the inputs, for NumPy arrays: (W x + b, U, c) -> the last h, (batch, units).

    W x + b is of all time steps, (time, batch, 3 · units); h starts at zero."""

    def forward_cpu(self, inputs):
        self.retain_inputs((1,))
        from_x, U, c = inputs
        steps, batch, _ = from_x.shape
        units = U.shape[1]
        self.h = np.zeros((steps + 1, batch, units), from_x.dtype)  # h[t] goes into step t
        self.past = np.empty((steps, batch, units), from_x.dtype)  # U_n h + c_n
        self.gates = np.empty_like(from_x)
        for t in range(steps):
            h = self.h[t]
            from_h = h.dot(U.T)
            from_h += c
            self.past[t] = from_h[:, 2 * units :]
            rz, n = self.gates[t, :, : 2 * units], self.gates[t, :, 2 * units :]
            sigmoid(from_x[t, :, : 2 * units] + from_h[:, : 2 * units], out=rz)
            tanh(from_x[t, :, 2 * units :] + rz[:, :units] * self.past[t], out=n)
            self.h[t + 1] = n + rz[:, units:] * (h - n)
        return (self.h[-1],)

    def backward(self, indexes, grad_outputs):
        U = self.get_retained_inputs()[0].array
        dh = grad_outputs[0].array
        steps, batch, units = self.past.shape
        r, z, n = np.split(self.gates, 3, axis=2)
        dx, dpast = np.empty_like(self.gates), np.empty_like(self.gates)  # of W x + b and of U h + c
        # What one unit of dh does to each sum inside σ and tanh depends on forward values only: all steps at once.
        to_n = (1 - z) * (1 - n * n)
        to_z = (self.h[:-1] - n) * z * (1 - z)
        n_to_r = self.past * r * (1 - r)
        for t in reversed(range(steps)):
            dr, dz, dn = np.split(dx[t], 3, axis=1)
            np.multiply(dh, to_n[t], out=dn)
            np.multiply(dh, to_z[t], out=dz)
            np.multiply(dn, n_to_r[t], out=dr)
            dpast[t, :, : 2 * units] = dx[t, :, : 2 * units]
            np.multiply(dn, r[t], out=dpast[t, :, 2 * units :])
            dh = dh * z[t] + dpast[t].dot(U)
        dpast = dpast.reshape(steps * batch, -1)
        dU = dpast.T.dot(self.h[:-1].reshape(steps * batch, -1))
        return tuple(chainer.as_variable(gradient) for gradient in (dx, dU, dpast.sum(axis=0)))


def sigmoid(x, out):
    """σ(x) = 1 / (1 + e⁻ˣ). NumPy has exp, not tanh, in vector instructions; where it overflows, σ is 0.

    `x` is overwritten."""
    with np.errstate(over="ignore"):
        np.exp(np.negative(x, out=x), out=x)
    x += 1
    np.reciprocal(x, out=out)


def tanh(x, out):
    """2 σ(2 x) − 1. `x` is overwritten."""
    x *= 2
    sigmoid(x, out=out)
    out *= 2
    out -= 1
