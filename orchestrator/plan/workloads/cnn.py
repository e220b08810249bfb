"""The CNN of the 2017 study: a VGG-style network on CIFAR-10, trained by SGD with momentum."""

from __future__ import annotations

from pydantic import Field

from orchestrator.plan.initialisers import GlorotUniform, Weight, Zeros
from orchestrator.plan.mistakes import DROPOUT_MISTAKES, IMAGE_MISTAKES, TRAINING_MISTAKES, Mistake
from orchestrator.plan.workload import Count, ExpectsAccuracy, Fraction, Positive, TrainingSettings, TrainingWorkload


class Cnn(ExpectsAccuracy, TrainingSettings):
    """The CNN on CIFAR-10. Defaults are the study's."""

    epochs: Count = 10
    lr: Positive = Field(default=0.01, description="learning rate")
    momentum: Fraction = 0.9
    dropout_conv: Fraction = Field(default=0.25, description="after each pair of convolutions")
    dropout_dense: Fraction = Field(default=0.5, description="before the last layer")


LAYERS = {
    "conv1": (50, 3, 3, 3),
    "conv2": (50, 50, 3, 3),
    "conv3": (100, 50, 3, 3),
    "conv4": (100, 100, 3, 3),
    "fc1": (512, 6400),
    "fc2": (10, 512),
}


def _weights() -> dict[str, Weight]:
    found = {}
    for layer, shape in LAYERS.items():
        found[f"{layer}.weight"] = Weight(shape, GlorotUniform())
        found[f"{layer}.bias"] = Weight(shape[:1], Zeros())
    return found


WORKLOAD = TrainingWorkload(
    position=1,
    title="Training a CNN (VGG-style) on CIFAR-10: image recognition",
    samples="images",
    dataset="cifar10",
    settings=Cnn,
    weights=_weights(),
    dropout={"dropout_conv": 0.25, "dropout_dense": 0.5},
    # The second test batch is half a batch, as the last one of a real run may be. Dropout is off: frameworks draw
    # different numbers.
    small={"epochs": 1, "batch": 32, "test_samples": 48, "dropout_conv": 0.0, "dropout_dense": 0.0},
    operations=1.3e8,  # 63 million multiply-adds, more than nine in ten of them in the convolutions
    published="2017",
    mistakes={
        "unit-gain": Mistake(sentence="momentum has unit gain: v ← 0.9 v + 0.1 g"),
        "dampening": Mistake(sentence="momentum is dampened, but for the first step: v ← 0.9 v + 0.1 g"),
        "nesterov": Mistake(sentence="momentum is Nesterov's"),
        "no-momentum": Mistake(sentence="there is no momentum"),
        "flatten-order": Mistake(sentence="images are flattened in the order H, W, C"),
        "pixels-255": Mistake(sentence="pixels are not divided by 255"),
        **IMAGE_MISTAKES,
        **TRAINING_MISTAKES,
        **DROPOUT_MISTAKES,
    },
)
