"""The order in which training samples are visited: the same for every framework."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.errors import DataError
from orchestrator.plan.workload import WindowTraining

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from orchestrator.plan.jobs import Job

_STEPS = 1000  # rows of window starts drawn at a time, to bound memory


@dataclass(frozen=True, kw_only=True)
class Order:
    """A batch order: the beginning of its file's name, its shape, and its int32 rows, piece by piece."""

    name: str
    shape: tuple[int, int]
    rows: Callable[[], Iterator[NDArray[np.int32]]]


def of_job(job: Job, samples: int) -> Order:
    """The batch order of a training on so many samples. Raises DataError when a window does not fit into them."""
    seed, settings, workload = job.seed, job.settings, job.declaration
    epochs = settings["epochs"]
    if not isinstance(workload, WindowTraining):
        shape = (epochs, samples)
        return Order(name=f"seed{seed}-{epochs}x{samples}", shape=shape, rows=lambda: by_epoch(seed, *shape))
    starts = workload.starts(settings, samples)
    if starts < 1:
        raise DataError(
            f"the training set has {samples:,} {workload.samples}, but a window and the label after it have "
            f"{settings['context'] + 1:,}",
            hint=f"use a smaller {job.workload}.context",
        )
    steps, batch = epochs * settings["steps"], settings["batch"]
    return Order(
        name=f"seed{seed}-windows-{steps}x{batch}-of-{starts}",
        shape=(steps, batch),
        rows=lambda: window_starts(seed, steps, batch, starts),
    )


def by_epoch(seed: int, epochs: int, samples: int) -> Iterator[NDArray[np.int32]]:
    """Yield the order in which every framework visits the training samples, epoch by epoch: int32 (1, samples) each.

    Each is a permutation of range(samples) that depends on the seed, the epoch and the number of samples alone, so a
    longer training begins exactly like a shorter one. Many epochs need no more memory than one.
    """
    import numpy as np

    from orchestrator.inputs.draws import Draws

    for epoch in range(epochs):
        yield Draws("batch order", seed, epoch).permutation(samples).astype(np.int32)[None]


def window_starts(seed: int, steps: int, batch: int, starts: int) -> Iterator[NDArray[np.int32]]:
    """Yield where the windows of each step start, int32 (some steps, batch), uniform over range(starts).

    A longer training begins exactly like a shorter one.
    """
    import numpy as np

    from orchestrator.inputs.draws import Draws

    draws = Draws("window starts", seed)
    for first in range(0, steps, _STEPS):
        rows = min(_STEPS, steps - first)
        yield draws.below(starts, rows * batch).astype(np.int32).reshape(rows, batch)
