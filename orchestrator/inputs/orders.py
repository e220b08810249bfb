"""The order in which training samples are visited: the same for every framework."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray


def batch_order(seed: int, epochs: int, samples: int) -> NDArray[np.int32]:
    """Return the order in which every framework visits the training samples: int32 (epochs, samples).

    Row e is a permutation of range(samples) that depends on the seed, e and the number of samples alone, so a longer
    training begins exactly like a shorter one.
    """
    import numpy as np

    return np.concatenate(list(by_epoch(seed, epochs, samples)))


def by_epoch(seed: int, epochs: int, samples: int) -> Iterator[NDArray[np.int32]]:
    """Yield the rows of the batch order one by one, int32 (1, samples): many epochs need no more memory than one."""
    import numpy as np

    from orchestrator.inputs.draws import Draws

    for epoch in range(epochs):
        yield Draws("batch order", seed, epoch).permutation(samples).astype(np.int32)[None]
