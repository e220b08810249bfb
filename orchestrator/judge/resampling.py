"""Percentile bootstrap: resamples of measurements, and intervals of a statistic over them. Pure.

A test checks that the numbers are those of scipy.stats.bootstrap, bit for bit. That function is not used because
importing scipy.stats takes longer than all the intervals of a report.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RESAMPLES = 2_000
BATCH = 200  # resamples at a time, so that the pairs of all of them need not fit into memory
MAX_PAIRS = 10_000  # with more than 100 repeats each, the ratio of the medians is as good as that of all pairs


def bootstrap(samples: Sequence[Sequence[float]], statistic: Any, levels: Sequence[float]) -> list[tuple[float, float]]:
    """Percentile intervals (low, high) of `statistic`, one for each level, all from the same resamples.

    The samples themselves seed the random generator, so that equal results always give equal tables.
    """
    import numpy as np

    arrays = tuple(map(array_of, samples))
    digest = hashlib.sha256(b"".join(array.tobytes() for array in arrays)).digest()
    generator = np.random.default_rng(np.frombuffer(digest, np.uint32))
    drawn = np.concatenate(
        [
            statistic(*(array[generator.integers(0, array.size, (BATCH, array.size))] for array in arrays))
            for _ in range(RESAMPLES // BATCH)
        ]
    )
    bounds = (np.quantile(drawn, (0.5 - level / 2, 0.5 + level / 2)) for level in levels)
    return [(float(low), float(high)) for low, high in bounds]


def array_of(values: Sequence[float]) -> NDArray[np.float64]:
    """The values as an array (n,)."""
    import numpy as np

    return np.asarray(values, np.float64)


def median(values: NDArray[np.float64]) -> Any:
    """The medians of `values` (…, n), equal to those of numpy.median bit for bit.

    Sorting takes a quarter of its time: with the two pivots of an even n, NumPy partitions without SIMD.
    """
    import numpy as np

    ordered, n = np.sort(values, axis=-1), values.shape[-1]
    return (ordered[..., (n - 1) // 2] + ordered[..., n // 2]) / 2


def shift(to: NDArray[np.float64], of: NDArray[np.float64]) -> Any:
    """How far `of` (…, n) lies above `to` (…, m): the median of all differences."""
    if of.shape[-1] * to.shape[-1] > MAX_PAIRS:
        return median(of) - median(to)
    pairs = of[..., :, None] - to[..., None, :]
    return median(pairs.reshape(*pairs.shape[:-2], -1))
