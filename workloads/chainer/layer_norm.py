"""Layer normalisation for Chainer whose gradient is one function.

Chainer's own gradient consists of some thirty functions of Variables, so that it can be differentiated once more. Most
of the time that takes goes into the graph, not into numbers.
"""

import chainer

EPSILON = 1e-5


class LayerNorm(chainer.Link):
    """Brings every row to mean 0 and variance 1, then multiplies each column by its gain: (n, width) -> as x."""

    def __init__(self, width):
        super().__init__()
        with self.init_scope():
            self.W = chainer.Parameter(1, (width,))

    def forward(self, x):
        return Normalize().apply((x, self.W))[0]


class Normalize(chainer.FunctionNode):
    """(x, gain) -> as x, for arrays of NumPy and of CuPy."""

    def forward(self, inputs):
        x, self.gain = inputs
        centred = x - x.mean(axis=1, keepdims=True)
        variance = (centred * centred).mean(axis=1, keepdims=True)
        self.scale = (variance + EPSILON) ** -0.5
        self.normal = centred * self.scale
        return (self.normal * self.gain,)

    def backward(self, indexes, grad_outputs):
        """A row's mean and its component along itself cannot change what comes out: they are taken from dx."""
        dy = grad_outputs[0].array
        dgain = (dy * self.normal).sum(axis=0)
        dx = dy * self.gain
        along = (dx * self.normal).mean(axis=1, keepdims=True)
        dx -= dx.mean(axis=1, keepdims=True)
        dx -= self.normal * along
        dx *= self.scale
        return chainer.as_variable(dx), chainer.as_variable(dgain)
