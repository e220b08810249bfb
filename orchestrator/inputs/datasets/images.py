"""Images of uniform noise: the input of ResNet-50."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from orchestrator.inputs.dataset import GeneratedDataset, Parts
from orchestrator.inputs.draws import Draws

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

_IMAGE = (3, 224, 224)


def _variant(seed: int, settings: Mapping[str, Any]) -> str:
    return f"seed{seed}-{settings['batches']}x{settings['batch']}"


def _generate(seed: int, settings: Mapping[str, Any]) -> dict[str, Parts]:
    """images.npy, float32 (batches, batch, 3, 224, 224) uniform in [0, 1).

    Fewer batches of the same size are the beginning of more. Written batch by batch: 40 of 32 images are 771 MB.
    """
    batches, batch = settings["batches"], settings["batch"]
    return {"images.npy": Parts("<f4", (batches, batch, *_IMAGE), _batches(seed, batches, batch))}


def _batches(seed: int, batches: int, batch: int) -> Iterator[NDArray[np.float32]]:
    draws = Draws("images", seed)
    for _ in range(batches):
        yield draws.uniform32(batch * math.prod(_IMAGE)).reshape(batch, *_IMAGE)


DATASET = GeneratedDataset(title="uniform noise", variant=_variant, generate=_generate)
