"""Known mistakes in porting a workload to another framework.

`verify` plants each of them into the reference (workloads/mistakes/) and compares what comes out with a cell that
diverges. A workload declares the mistakes that can happen in it; those that several workloads share are here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A known mistake. The sentence completes "it computes what the reference computes when …".

    `seen_in` is what it is recognised by. "trace": the losses and scores are those of the reference with this mistake.
    "count": fewer samples are scored, and those correctly. "dropout": see judge/dropout.py.
    """

    sentence: str
    seen_in: Literal["trace", "count", "dropout"] = "trace"


IMAGE_MISTAKES: Mapping[str, Mistake] = {
    "kernel-flipped": Mistake(sentence="convolutions flip their kernels"),
    "height-width": Mistake(sentence="images are transposed: H and W are swapped"),
    "pixels-centred": Mistake(sentence="pixels are scaled to [-1, 1]"),
}
TRAINING_MISTAKES: Mapping[str, Mistake] = {
    "label-shift": Mistake(sentence="labels are off by one"),
    "loss-summed": Mistake(sentence="the loss is summed over the batch, not averaged"),
    "gradient-summed": Mistake(sentence="the gradient is summed over the batch, not averaged"),
    "softmax-twice": Mistake(sentence="softmax is applied twice"),
    "no-bias": Mistake(sentence="biases are missing, or not trained"),
    "test-truncated": Mistake(sentence="the test set is truncated: the last partial batch is dropped", seen_in="count"),
}
DROPOUT_MISTAKES: Mapping[str, Mistake] = {
    "dropout-always": Mistake(sentence="dropout is left on whatever rate the spec asks for", seen_in="dropout"),
    "dropout-never": Mistake(sentence="dropout is never on", seen_in="dropout"),
    "dropout-in-evaluation": Mistake(sentence="dropout is left on in evaluation", seen_in="dropout"),
}
