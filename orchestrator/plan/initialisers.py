"""How initial weights are drawn, as data; inputs/weights.py draws them.

The fans of a matrix are its two dimensions, (out, in); those of a convolution (OIHW) are channels times kernel area.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Zeros:
    """All zero."""


@dataclass(frozen=True)
class Ones:
    """All one."""


@dataclass(frozen=True)
class Uniform:
    """U(-bound, bound)."""

    bound: float


@dataclass(frozen=True)
class GlorotUniform:
    """U(-a, a) with a = sqrt(6 / (fan_in + fan_out)).

    `gates` matrices lie one below the other in this weight; each of them has fans of its own.
    """

    gates: int = 1


@dataclass(frozen=True)
class HeNormal:
    """N(0, 2 / fan_in)."""


@dataclass(frozen=True)
class Normal:
    """N(0, deviation²)."""

    deviation: float


@dataclass(frozen=True)
class ActivationMean:
    """The mean that each output channel of a convolution has, for independent inputs of this mean.

    `kernel` names the convolution's weight, which has to be declared before.
    """

    kernel: str
    inputs: float


@dataclass(frozen=True)
class ActivationVariance:
    """The variance that each output channel of a convolution has, for independent inputs of this variance."""

    kernel: str
    inputs: float


Initialiser = Zeros | Ones | Uniform | GlorotUniform | HeNormal | Normal | ActivationMean | ActivationVariance


@dataclass(frozen=True)
class Weight:
    """One array of the initial weights: its shape and how it is drawn. All are float32."""

    shape: tuple[int, ...]
    initial: Initialiser
