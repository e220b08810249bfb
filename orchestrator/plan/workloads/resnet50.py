"""Feature extraction with ResNet-50, as in the 2017 study. Both variants, v1 and v1.5, have the same weights.

The kernels are He normal. A pre-activation is a weighted sum of inputs. For independent inputs of one mean and variance
per layer, its mean is (mean of the inputs) × (sum of the channel's weights), and its variance is (variance of the
inputs) × (sum of their squares). These are the running statistics declared here: they differ from channel to channel,
and they keep the activations of every layer near unit variance, as training would. Measured on uniform noise, seeds 0
and 1, both variants: the outputs of the 53 BatchNorms have standard deviations of 1.0 to 3.0, growing with depth; the
2,048 features have means of 2.4 to 2.6 and a maximum of 11.4.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from orchestrator.plan.initialisers import ActivationMean, ActivationVariance, HeNormal, Ones, Weight, Zeros
from orchestrator.plan.mistakes import IMAGE_MISTAKES, Mistake
from orchestrator.plan.workload import Device, InferenceWorkload, Settings

BATCHES: dict[Device, int] = {"gpu": 40, "cpu": 8}  # the study's
STAGES = ((3, 64), (4, 128), (6, 256), (3, 512))  # bottlenecks, and channels inside each of them


class ResNet50(Settings):
    """ResNet-50 feature extraction."""

    batch: Annotated[int, Field(ge=1, le=4096)] = Field(default=32, description="images per batch")
    batches: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None, description="batches in a pass over the images; by default 40 on a GPU and 8 on a CPU"
    )
    seconds: Annotated[float, Field(ge=0, le=3600)] = Field(
        default=5.0, description="repeat the timed pass until it has taken this long; 0 for one pass"
    )
    variant: Literal["v1", "v1.5"] = Field(default="v1", description="v1.5 moves the stride to the 3x3 convolution")

    def for_device(self, device: Device) -> dict[str, Any]:
        return {**self.model_dump(), "batches": self.batches or BATCHES[device]}


class Moments(NamedTuple):
    """Mean and variance of an activation over images and positions, the same in every channel."""

    mean: float
    variance: float


class Convolution(NamedTuple):
    """A convolution, its BatchNorm, and the moments of what flows into it."""

    name: str
    norm: str
    shape: tuple[int, int, int, int]  # OIHW
    inputs: Moments


PIXELS = Moments(1 / 2, 1 / 12)  # uniform [0, 1)
RECTIFIED = Moments(0.398942, 0.340845)  # max(0, a standard normal): 1 / sqrt(2 pi), 1/2 - 1 / (2 pi)
POOLED = Moments(1.485013, 0.357353)  # the greatest of 3x3 independent standard normals


def convolutions() -> Iterator[Convolution]:
    """Yield the 53 convolutions in the order in which data flows through them, a block's shortcut last."""
    yield Convolution("conv1", "bn1", (64, 3, 7, 7), PIXELS)
    channels, stream = 64, POOLED
    for stage, (blocks, width) in enumerate(STAGES, start=1):
        for block in range(blocks):
            prefix, outputs = f"layer{stage}.{block}", 4 * width
            yield Convolution(f"{prefix}.conv1", f"{prefix}.bn1", (width, channels, 1, 1), stream)
            yield Convolution(f"{prefix}.conv2", f"{prefix}.bn2", (width, width, 3, 3), RECTIFIED)
            yield Convolution(f"{prefix}.conv3", f"{prefix}.bn3", (outputs, width, 1, 1), RECTIFIED)
            if block == 0:
                shortcut = f"{prefix}.shortcut"
                yield Convolution(f"{shortcut}.conv", f"{shortcut}.bn", (outputs, channels, 1, 1), stream)
                stream = Moments(0, 1)  # the shortcut's BatchNorm normalises what passes
            # The last BatchNorm of a block adds a standard normal to the stream before it is rectified.
            channels, stream = outputs, rectified(stream.mean, stream.variance + 1)


def rectified(mean: float, variance: float) -> Moments:
    """The moments of max(0, x) for a normal x, rounded so that the last bit of a math library does not show."""
    deviation = math.sqrt(variance)
    density = math.exp(-mean * mean / (2 * variance)) / math.sqrt(2 * math.pi)
    positive = math.erfc(-mean / (deviation * math.sqrt(2))) / 2  # the probability of x > 0
    first = mean * positive + deviation * density
    second = (mean * mean + variance) * positive + mean * deviation * density
    return Moments(round(first, 6), round(second - first * first, 6))


def _weights() -> dict[str, Weight]:
    found = {}
    for name, norm, shape, inputs in convolutions():
        kernel, channels = f"{name}.weight", shape[:1]
        found[kernel] = Weight(shape, HeNormal())
        found[f"{norm}.gamma"] = Weight(channels, Ones())
        found[f"{norm}.beta"] = Weight(channels, Zeros())
        found[f"{norm}.mean"] = Weight(channels, ActivationMean(kernel, inputs.mean))
        found[f"{norm}.var"] = Weight(channels, ActivationVariance(kernel, inputs.variance))
    return found


WORKLOAD = InferenceWorkload(
    position=3,
    title="Inference with ResNet-50: feature extraction",
    samples="images",
    dataset="images",
    settings=ResNet50,
    weights=_weights(),
    small={"batch": 4, "batches": 1, "seconds": 0.0},
    operations=8.2e9,  # v1.5: 4.1 billion multiply-adds
    published="2017",
    earlier={"seconds": 0.0},
    mistakes={
        **IMAGE_MISTAKES,
        "bn-epsilon-1e-3": Mistake(sentence="BatchNorm's epsilon is 1e-3"),
        "bn-epsilon-2e-5": Mistake(sentence="BatchNorm's epsilon is 2e-5"),
        "stride-in-3x3": Mistake(sentence="the stride is in the 3x3 convolution (v1.5)"),
        "padding-after": Mistake(sentence="strided windows are padded below and on the right"),
        "bn-batch-statistics": Mistake(sentence="BatchNorm uses the statistics of the batch, as in training"),
        "bn-moved-0.1": Mistake(
            sentence="BatchNorm's statistics moved before the extraction: one batch in training mode, momentum 0.1"
        ),
        "bn-moved-0.01": Mistake(
            sentence="BatchNorm's statistics moved before the extraction: one batch in training mode, momentum 0.01"
        ),
    },
)
