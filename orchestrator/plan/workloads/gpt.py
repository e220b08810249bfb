"""A character-level GPT on Tiny Shakespeare, trained by AdamW with clipping and a schedule.

The form is GPT-2's with LayerNorm first and no biases. Defaults are the larger of nanoGPT's two settings, for a GPU;
configs/quick.yaml has the smaller one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pydantic
from pydantic import Field

from orchestrator.plan.initialisers import Normal, Ones, Weight
from orchestrator.plan.mistakes import DROPOUT_MISTAKES, TRAINING_MISTAKES, Mistake
from orchestrator.plan.workload import (
    Count,
    Device,
    ExpectsLoss,
    Fraction,
    Positive,
    WindowSettings,
    WindowTraining,
    mean_loss,
)

CHARACTERS = 65
DEVIATION = 0.02  # of initial weights


class Gpt(ExpectsLoss, WindowSettings):
    """The GPT on Tiny Shakespeare. Defaults are made for a GPU."""

    epochs: Count = Field(default=20, description="parts of the training; with a learning curve each is scored")
    steps: Count = Field(default=250, description="training steps of an epoch")
    batch: Count = Field(default=64, description="windows per step")
    context: Count = Field(default=256, description="characters of a window")
    layers: Count = Field(default=6, description="transformer blocks")
    heads: Count = Field(default=6, description="attention heads; they share the width")
    width: Count = Field(default=384, description="numbers per character inside the model")
    dropout: Fraction = Field(default=0.2, description="on embeddings, attention weights and both projections")
    lr: Positive = Field(default=0.001, description="highest learning rate")
    lr_end: Fraction = Field(default=0.1, description="the learning rate ends at this share of lr")
    warmup: Count = Field(default=100, description="steps in which the learning rate rises linearly")
    decay_steps: Count | None = Field(default=None, description="step at which it ends; by default the last one")
    beta1: Fraction = 0.9
    beta2: Fraction = 0.99
    epsilon: Positive = 1e-8
    weight_decay: Fraction = Field(default=0.1, description="decoupled; on all weights but gains")
    clip: Positive = Field(default=1.0, description="largest norm of the gradient of all weights together")

    @pydantic.model_validator(mode="after")
    def _whole_heads(self) -> Gpt:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} cannot be divided among {self.heads} heads")
        return self

    def for_device(self, device: Device) -> dict[str, Any]:
        found = super().for_device(device)
        return {**found, "decay_steps": self.decay_steps or self.epochs * self.steps}


def weights_for(settings: Mapping[str, Any]) -> dict[str, Weight]:
    """The weights of a model of this size, from input to output. The last layer is the first one transposed."""
    width, layers = settings["width"], settings["layers"]
    normal, residual = Normal(DEVIATION), Normal(DEVIATION / math.sqrt(2 * layers))
    found = {
        "token.weight": Weight((CHARACTERS, width), normal),
        "position.weight": Weight((settings["context"], width), normal),
    }
    for number in range(layers):
        block = f"blocks.{number}"
        found[f"{block}.norm1.weight"] = Weight((width,), Ones())
        found[f"{block}.qkv.weight"] = Weight((3 * width, width), normal)
        found[f"{block}.out.weight"] = Weight((width, width), residual)
        found[f"{block}.norm2.weight"] = Weight((width,), Ones())
        found[f"{block}.up.weight"] = Weight((4 * width, width), normal)
        found[f"{block}.down.weight"] = Weight((width, 4 * width), residual)
    found["norm.weight"] = Weight((width,), Ones())
    return found


def operations(settings: Mapping[str, Any]) -> float:
    """A multiplication and an addition for each weight of a matrix; attention over half a window on average."""
    width, layers = settings["width"], settings["layers"]
    matrices = CHARACTERS * width + layers * 12 * width**2
    attention = layers * settings["context"] * width  # the scores, and the weighted sum of the values
    return float(2 * (matrices + attention))


WORKLOAD = WindowTraining(
    position=4,
    title="Training a GPT (transformer) on Tiny Shakespeare: the next character",
    samples="characters",
    dataset="tinyshakespeare",
    settings=Gpt,
    weights=weights_for(Gpt().model_dump()),
    sized_weights=weights_for,
    operations=operations,
    scoring=mean_loss("nats"),
    dropout={"dropout": 0.2},
    # The second test batch is half a batch, as the last one of a real run may be. The learning rate rises and falls
    # within the few steps. It is so high, and the model so wide, that the two forms of GELU differ by more than
    # rounding; the limit is so low that gradients are clipped.
    small={
        "epochs": 1,
        "batch": 8,
        "context": 16,
        "layers": 2,
        "heads": 4,
        "width": 128,
        "dropout": 0.0,
        "lr": 0.005,
        "warmup": 4,
        "clip": 0.5,
        "test_samples": 192,
    },
    published="nanogpt",
    mistakes={
        "no-causal-mask": Mistake(sentence="attention has no causal mask: a character sees those after it"),
        "attention-unscaled": Mistake(sentence="attention scores are not divided by the root of a head's width"),
        "gelu-tanh": Mistake(sentence="GELU is the approximation by tanh"),
        "head-untied": Mistake(sentence="the last layer has weights of its own, not the token embedding's"),
        "ln-epsilon-1e-6": Mistake(sentence="LayerNorm's epsilon is 1e-6"),
        "ln-epsilon-1e-3": Mistake(sentence="LayerNorm's epsilon is 1e-3"),
        "ln-after": Mistake(sentence="LayerNorm comes after each branch is added, not before the branch"),
        "decay-coupled": Mistake(sentence="weight decay is part of the gradient that Adam sees"),
        "decay-on-gains": Mistake(sentence="weight decay shrinks the gains of LayerNorm, too"),
        "adamw-beta2-0.999": Mistake(sentence="AdamW's beta2 is 0.999"),
        "clip-by-tensor": Mistake(sentence="the gradient of each weight is clipped by its own norm"),
        "clip-missing": Mistake(sentence="the gradient is not clipped"),
        "schedule-off-by-one": Mistake(sentence="each step has the learning rate of the next"),
        "position-shifted": Mistake(sentence="the position embedding is shifted by one"),
        "loss-of-last-position": Mistake(sentence="the loss is that of the last character of each window only"),
        "labels-not-shifted": Mistake(sentence="the label of a character is itself, not the one that follows"),
        "test-truncated": TRAINING_MISTAKES["test-truncated"],
        **DROPOUT_MISTAKES,
    },
)
