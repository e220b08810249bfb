"""Mistakes that people make when they write a workload in another framework, to be recognised by their result.

Each is planted into the oracle by planted_oracle.py and its losses and scores are compared with those of a cell that
diverges. The sentence completes "<framework> computes something else: …".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from orchestrator.plan.spec import WorkloadName


@dataclass(frozen=True, kw_only=True)
class Culprit:
    """A known mistake: what it is, the workloads that it can happen in, and what it is recognised by.

    "trace": a cell that makes it comes out where the oracle does that makes it too. "count": it scores fewer samples
    than the oracle, those rightly. "dropout": see dropout.py.
    """

    sentence: str
    workloads: tuple[WorkloadName, ...]
    seen_in: Literal["trace", "count", "dropout"] = "trace"


_TRAINING: tuple[WorkloadName, ...] = ("cnn", "rnn")
_IMAGES: tuple[WorkloadName, ...] = ("cnn", "resnet50")

CULPRITS: Mapping[str, Culprit] = {
    "unit-gain": Culprit(sentence="momentum has unit gain: v ← 0.9 v + 0.1 g", workloads=("cnn",)),
    "dampening": Culprit(
        sentence="momentum is dampened, but for the first step: v ← 0.9 v + 0.1 g", workloads=("cnn",)
    ),
    "nesterov": Culprit(sentence="momentum is Nesterov's", workloads=("cnn",)),
    "no-momentum": Culprit(sentence="there is no momentum", workloads=("cnn",)),
    "flatten-order": Culprit(sentence="images are flattened in the order H, W, C", workloads=("cnn",)),
    "kernel-flipped": Culprit(sentence="convolutions flip their kernels", workloads=_IMAGES),
    "height-width": Culprit(sentence="images are transposed: H and W are swapped", workloads=_IMAGES),
    "pixels-255": Culprit(sentence="pixels are not divided by 255", workloads=("cnn",)),
    "pixels-centred": Culprit(sentence="pixels are scaled to [-1, 1]", workloads=_IMAGES),
    "label-shift": Culprit(sentence="labels are off by one", workloads=_TRAINING),
    "loss-summed": Culprit(sentence="the loss is summed over the batch, not averaged", workloads=_TRAINING),
    "gradient-summed": Culprit(sentence="the gradient is summed over the batch, not averaged", workloads=_TRAINING),
    "softmax-twice": Culprit(sentence="softmax is applied twice", workloads=_TRAINING),
    "no-bias": Culprit(sentence="biases are missing, or not trained", workloads=_TRAINING),
    "padding-before": Culprit(sentence="reviews are padded at the start, not at the end", workloads=("rnn",)),
    "test-truncated": Culprit(
        sentence="the test set is truncated: the last partial batch is dropped", workloads=_TRAINING, seen_in="count"
    ),
    "adam-epsilon-inside": Culprit(sentence="Adam adds epsilon before it corrects the bias of v", workloads=("rnn",)),
    "adam-epsilon-1e-7": Culprit(sentence="Adam's epsilon is 1e-7", workloads=("rnn",)),
    "adam-uncorrected": Culprit(sentence="Adam does not correct the bias of its moments", workloads=("rnn",)),
    "adam-sparse": Culprit(sentence="Adam moves only the embeddings of tokens in the batch", workloads=("rnn",)),
    "hard-sigmoid": Culprit(sentence="the GRU's gates use the hard sigmoid", workloads=("rnn",)),
    "reset-before": Culprit(sentence="the GRU resets before the matrix product", workloads=("rnn",)),
    "hard-sigmoid-reset-before": Culprit(
        sentence="the GRU uses the hard sigmoid and resets before the matrix product", workloads=("rnn",)
    ),
    "gates-swapped": Culprit(sentence="the GRU's reset and update gates are swapped", workloads=("rnn",)),
    "update-inverted": Culprit(sentence="the GRU's update gate works the other way round", workloads=("rnn",)),
    "bn-epsilon-1e-3": Culprit(sentence="BatchNorm's epsilon is 1e-3", workloads=("resnet50",)),
    "bn-epsilon-2e-5": Culprit(sentence="BatchNorm's epsilon is 2e-5", workloads=("resnet50",)),
    "stride-in-3x3": Culprit(sentence="the stride is in the 3x3 convolution (v1.5)", workloads=("resnet50",)),
    "padding-after": Culprit(sentence="strided windows are padded below and on the right", workloads=("resnet50",)),
    "bn-batch-statistics": Culprit(
        sentence="BatchNorm uses the statistics of the batch, as in training", workloads=("resnet50",)
    ),
    "bn-moved-0.1": Culprit(
        sentence="BatchNorm's statistics moved before the extraction: one batch in training mode, momentum 0.1",
        workloads=("resnet50",),
    ),
    "bn-moved-0.01": Culprit(
        sentence="BatchNorm's statistics moved before the extraction: one batch in training mode, momentum 0.01",
        workloads=("resnet50",),
    ),
    "dropout-always": Culprit(
        sentence="dropout is left on whatever rate the spec asks for", workloads=("cnn",), seen_in="dropout"
    ),
    "dropout-never": Culprit(sentence="dropout is never on", workloads=("cnn",), seen_in="dropout"),
    "dropout-in-evaluation": Culprit(
        sentence="dropout is left on in evaluation", workloads=("cnn",), seen_in="dropout"
    ),
}


def of(workload: WorkloadName) -> tuple[str, ...]:
    """Names of the mistakes that can happen in `workload` and show in its trace."""
    return tuple(
        name for name, culprit in CULPRITS.items() if workload in culprit.workloads and culprit.seen_in == "trace"
    )
