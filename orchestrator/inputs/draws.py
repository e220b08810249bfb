"""Random numbers that stay the same for ever: on every NumPy, operating system and processor.

NumPy promises that a bit generator's raw 64-bit output never changes, but not what its `Generator` makes of that
output (NEP 19). So everything here is raw PCG64 output followed by integer arithmetic or by the IEEE 754 operations
that are correctly rounded everywhere: + - * / and the square root. The platform's log and exp are not among them.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LN2 = 0.6931471805599453


class Draws:
    """One stream of random numbers, named by `key`: streams with different keys are independent of each other.

    Two streams with the same key give the same numbers. Calls consume the stream in order, so a stream drawn in
    several calls of one method equals the same stream drawn at once; `normal` and `permutation` excepted.
    """

    def __init__(self, *key: str | int) -> None:
        entropy = hashlib.sha256(json.dumps(key).encode()).digest()
        self._source = np.random.PCG64(int.from_bytes(entropy, "big"))

    def bits(self, count: int) -> NDArray[np.uint64]:
        """Draw `count` uniform 64-bit integers."""
        return np.asarray(self._source.random_raw(count), dtype=np.uint64)

    def octets(self, count: int) -> NDArray[np.uint8]:
        """Draw `count` uniform integers in [0, 256), eight from one 64-bit draw."""
        return self.bits(-(-count // 8)).astype("<u8", copy=False).view(np.uint8)[:count]

    def below(self, bound: int, count: int) -> NDArray[np.int64]:
        """Draw `count` integers in [0, bound) for a bound of at most 2**32; the bias is below bound / 2**32."""
        numbers: NDArray[np.uint64] = (self.bits(count) >> np.uint64(32)) * np.uint64(bound) >> np.uint64(32)
        return numbers.astype(np.int64)

    def uniform(self, count: int) -> NDArray[np.float64]:
        """Draw `count` float64 in [0, 1), multiples of 2**-53."""
        integers: NDArray[np.uint64] = self.bits(count) >> np.uint64(11)
        return integers.astype(np.float64) * 2.0**-53

    def uniform32(self, count: int) -> NDArray[np.float32]:
        """Draw `count` float32 in [0, 1), multiples of 2**-24; `count` is even."""
        halves = self.bits(count // 2).astype("<u8", copy=False).view("<u4")
        numbers: NDArray[np.float32] = (halves >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)
        return numbers

    def normal(self, count: int) -> NDArray[np.float64]:
        """Draw `count` standard normal float64, by Marsaglia's polar method."""
        found: list[NDArray[np.float64]] = []
        missing = count
        while missing > 0:
            # pi/4 of the pairs fall inside the unit circle and give two numbers each; 3 % more spares a second round
            pairs = int(missing * 0.66) + 32
            x, y = 2.0 * self.uniform(2 * pairs).reshape(2, pairs) - 1.0
            s = x * x + y * y
            inside = (s > 0.0) & (s < 1.0)
            x, y, s = x[inside], y[inside], s[inside]
            scale = np.sqrt(-2.0 * _log(s) / s)
            found += [x * scale, y * scale]
            missing -= 2 * len(s)
        return np.concatenate(found)[:count] if found else np.empty(0)

    def permutation(self, count: int) -> NDArray[np.int64]:
        """Draw a uniformly random order of range(count)."""
        return np.argsort(self.bits(count), kind="stable")


def _log(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the natural logarithm of positive float64, to about 1e-15, in correctly rounded operations only.

    x = m * 2**e with m in [0.5, 1); ln m = 2 atanh(z) with z = (m - 1) / (m + 1), summed as a power series. To keep
    |z| below 0.172 and the series short, m is first brought into [sqrt(1/2), sqrt(2)).
    """
    mantissa, exponent = np.frexp(x)
    small = mantissa < np.sqrt(0.5)
    mantissa = np.where(small, 2.0 * mantissa, mantissa)
    exponent = exponent - small
    z = (mantissa - 1.0) / (mantissa + 1.0)
    square = z * z
    series = np.zeros_like(z)
    for power in range(21, 0, -2):  # z**23 / 23 is below 1e-19
        series = series * square + 1.0 / power
    logarithm: NDArray[np.float64] = exponent * _LN2 + 2.0 * z * series
    return logarithm
