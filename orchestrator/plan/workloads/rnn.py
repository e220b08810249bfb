"""The RNN of the 2017 study: a GRU on IMDB reviews, trained by Adam with bias correction."""

from __future__ import annotations

from pydantic import Field

from orchestrator.plan.initialisers import GlorotUniform, Uniform, Weight, Zeros
from orchestrator.plan.mistakes import TRAINING_MISTAKES, Mistake
from orchestrator.plan.workload import Count, ExpectsAccuracy, Fraction, Positive, TrainingSettings, TrainingWorkload


class Rnn(ExpectsAccuracy, TrainingSettings):
    """The GRU on IMDB. Defaults are the study's."""

    epochs: Count = 3
    lr: Positive = Field(default=0.001, description="learning rate")
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    epsilon: Positive = 1e-8


WORKLOAD = TrainingWorkload(
    position=2,
    title="Training an RNN (GRU) on IMDB: sentiment analysis",
    samples="reviews",
    dataset="imdb",
    settings=Rnn,
    weights={
        # A table, not a projection: the bound is Keras' default for the layer.
        "embedding.weight": Weight((30000, 125), Uniform(0.05)),
        "gru.weight_ih": Weight((300, 125), GlorotUniform(gates=3)),
        "gru.weight_hh": Weight((300, 100), GlorotUniform(gates=3)),
        "gru.bias_ih": Weight((300,), Zeros()),
        "gru.bias_hh": Weight((300,), Zeros()),
        "fc.weight": Weight((2, 100), GlorotUniform()),
        "fc.bias": Weight((2,), Zeros()),
    },
    fused_kernel=True,
    small={"epochs": 1, "batch": 32, "test_samples": 48},
    operations=2.0e7,  # 150 steps of 67,500 multiply-adds in the GRU's matrices
    published="2017",
    mistakes={
        **TRAINING_MISTAKES,
        "padding-before": Mistake(sentence="reviews are padded at the start, not at the end"),
        "adam-epsilon-inside": Mistake(sentence="Adam adds epsilon before it corrects the bias of v"),
        "adam-epsilon-1e-7": Mistake(sentence="Adam's epsilon is 1e-7"),
        "adam-uncorrected": Mistake(sentence="Adam does not correct the bias of its moments"),
        "adam-sparse": Mistake(sentence="Adam moves only the embeddings of tokens in the batch"),
        "hard-sigmoid": Mistake(sentence="the GRU's gates use the hard sigmoid"),
        "reset-before": Mistake(sentence="the GRU resets before the matrix product"),
        "hard-sigmoid-reset-before": Mistake(
            sentence="the GRU uses the hard sigmoid and resets before the matrix product"
        ),
        "gates-swapped": Mistake(sentence="the GRU's reset and update gates are swapped"),
        "update-inverted": Mistake(sentence="the GRU's update gate works the other way round"),
    },
)
