"""GELU for Chainer, x · Φ(x), whose Φ on a CPU is not computed number by number in Python.

Chainer takes Φ, the distribution function of the normal distribution, from SciPy, which its image does not have, or
calls Python's math.erfc for every number.
"""

import math

import chainer
import chainer.functions as F
import numpy as np

AT_A_TIME = 2**15  # numbers: all that is computed of them stays in the cache
DEGREE, SLOPE, FARTHEST = 8, 0.5, 5.0  # of the polynomial that fitted_tail describes


def gelu(x):
    """The exact GELU of a Variable of any shape."""
    return x * F.ndtr(x) if x.xp is not np else Gelu().apply((x,))[0]


class Gelu(chainer.FunctionNode):
    """x · Φ(x) for NumPy arrays. Its derivative is Φ(x) + x · φ(x), where φ is the density."""

    def forward_cpu(self, inputs):
        (x,) = inputs
        y, self.derivative = np.empty_like(x), np.empty_like(x)
        flat = [array.reshape(-1) for array in (x, y, self.derivative)]
        for first in range(0, x.size, AT_A_TIME):
            gelu_and_derivative(*(array[first : first + AT_A_TIME] for array in flat))
        return (y,)

    def backward(self, indexes, grad_outputs):
        return (chainer.as_variable(grad_outputs[0].array * self.derivative),)


def gelu_and_derivative(x, y, derivative):
    """Write x · Φ(x) into `y` and its derivative into `derivative`. All are float32 arrays of one length.

    Φ(-|x|) is exp(-x² / 2) times a polynomial, to 2e-7; half = Φ(|x|) - 1/2."""
    size = np.abs(x)
    bell = np.exp(np.float32(-0.5) * x * x)
    t = 1 / (1 + np.float32(SLOPE) * size)
    half = COEFFICIENTS[-1] * t
    for coefficient in COEFFICIENTS[-2:0:-1]:
        half += coefficient
        half *= t
    half += COEFFICIENTS[0]
    half *= bell
    np.subtract(np.float32(0.5), half, out=half)
    np.multiply(size, half, out=y)
    y += np.float32(0.5) * x
    np.copysign(half, x, out=derivative)
    derivative += np.float32(0.5)
    bell *= np.float32(1 / math.sqrt(2 * math.pi))
    bell *= x
    derivative += bell


def fitted_tail():
    """The coefficients of Φ(-z) · exp(z² / 2), from z = 0 to FARTHEST, as a polynomial in t = 1 / (1 + SLOPE · z).

    It is smooth in t. Beyond FARTHEST, Φ(-z) itself is less than a rounding of the float32 1."""
    nearest = 1 / (1 + SLOPE * FARTHEST)

    def tail(t):
        z = (1 / t - 1) / SLOPE
        return np.array([0.5 * math.erfc(each / math.sqrt(2)) * math.exp(each * each / 2) for each in z])

    middle, half = (1 + nearest) / 2, (1 - nearest) / 2
    chebyshev = np.polynomial.chebyshev.chebinterpolate(lambda s: tail(middle + half * s), DEGREE)
    powers = np.polynomial.Polynomial(np.polynomial.chebyshev.cheb2poly(chebyshev), domain=[nearest, 1])
    return powers.convert().coef.astype(np.float32)


COEFFICIENTS = fitted_tail()
