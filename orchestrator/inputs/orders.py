"""The order in which training samples are visited: the same for every framework."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def batch_order(seed: int, epochs: int, samples: int) -> NDArray[np.int32]:
    """Return the order in which every framework visits the training samples: int32 (epochs, samples).

    Row e is a permutation of range(samples) that depends on the seed, e and the number of samples alone, so a longer
    training begins exactly like a shorter one.
    """
    import numpy as np

    from orchestrator.inputs.draws import Draws

    order = np.empty((epochs, samples), np.int32)
    for epoch in range(epochs):
        order[epoch] = Draws("batch order", seed, epoch).permutation(samples)
    return order
