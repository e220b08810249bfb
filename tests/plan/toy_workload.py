"""A workload that the project does not have, as a contributor would add it: the text of each of its files.

It is softmax regression on eight numbers, scored by its mean loss, in two frameworks.
"""

DECLARATION = '''
from pydantic import Field

from orchestrator.plan.initialisers import GlorotUniform, Weight, Zeros
from orchestrator.plan.mistakes import Mistake
from orchestrator.plan.workload import ExpectsLoss, Positive, TrainingSettings, TrainingWorkload, mean_loss


class Toy(ExpectsLoss, TrainingSettings):
    """Softmax regression."""

    lr: Positive = Field(default=0.1, description="learning rate")


WORKLOAD = TrainingWorkload(
    position=9,
    title="Training a toy: softmax regression",
    samples="points",
    dataset="eights",
    settings=Toy,
    weights={"w": Weight((3, 8), GlorotUniform()), "b": Weight((3,), Zeros())},
    scoring=mean_loss("nats"),
    small={"epochs": 1, "batch": 4, "test_samples": 6},
    published="toy",
    mistakes={"rate-doubled": Mistake(sentence="the learning rate is doubled")},
)
'''
DATASET = """
import numpy as np

from orchestrator.inputs.array_format import ArrayFormat
from orchestrator.inputs.dataset import Archive, LabelledDataset
from orchestrator.inputs.draws import Draws
from orchestrator.inputs.layouts import npy_arrays

FORMAT = ArrayFormat(x_dtype="int32", x_shape=(8,), x_values=100, classes=3, train=2000, test=60)


def synthesise(seed, train, test):
    arrays = {}
    for split, count in (("train", train), ("test", test)):
        draws = Draws("eights", seed, split)
        x = draws.below(100, 8 * count).reshape(count, 8).astype(np.int32)
        arrays[f"x_{split}.npy"], arrays[f"y_{split}.npy"] = x, x[:, :3].argmax(axis=1)
    return arrays


DATASET = LabelledDataset(
    format=FORMAT,
    archive=Archive(file="eights.npz", base_url="http://127.0.0.1:9", size=1, sha256="0" * 64, read=None),
    synthesise=synthesise,
    layouts=(npy_arrays.layout(FORMAT),),
)
"""
WORKLOAD = """
import numpy as np

from workloads.common import bench
from workloads.numpy import runtime

{extra}
RATE = 1.0


def loss_and_gradient(logits, y):
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    loss = -np.log(p[np.arange(len(y)), y]).mean()
    p[np.arange(len(y)), y] -= 1
    return loss, p / len(y)


def run(job):
    dtype = runtime.start(job)
    x_train, y_train, x_test, y_test = job.data()
    w = {{name: array.astype(dtype) for name, array in job.weights().items()}}

    def predict(x):
        return (x / dtype.type(100)).astype(dtype) @ w["w"].T + w["b"]

    def step(x, y):
        loss, gradient = loss_and_gradient(predict(x), y)
        {update}
        return loss

    job.ready()
    for epoch in job.epochs(sync=runtime.synchronize, weights=lambda: w):
        for x, y in epoch.batches(x_train, y_train):
            epoch.step(step(x, y))
        epoch.score_loss(predict, x_test, y_test)


if __name__ == "__main__":
    bench.main(run)
"""
UPDATE = """w["w"] -= dtype.type(RATE * job.settings["lr"]) * (gradient.T @ (x / dtype.type(100)).astype(dtype))
        w["b"] -= dtype.type(RATE * job.settings["lr"]) * gradient.sum(axis=0)"""
MISTAKES = """
from workloads.mistakes import module

PLANTS = {"rate-doubled": lambda: [(module("numpy.toy"), "RATE", 2.0)]}
"""
DOCKERFILE = """ARG BASE_IMAGE=python:{python}
FROM ${{BASE_IMAGE}}
LABEL rosetta.frameworks="{name}" \\
      rosetta.python="{python}" \\
      rosetta.framework.{name}.title="{title}" \\
      rosetta.framework.{name}.version="{version}"
"""
SPEC = """name: toy
dataset: synthetic
engine: process
workloads: [toy]
toy:
  epochs: 3
  batch: 8
  train_samples: 400
  loss: [0.5, 0.9]
"""
REFERENCE = """{"schema_version": 1, "title": "Then", "source": "a test", "hardware": "none",
 "toy": [{"framework": "plain", "title": "Plain", "loss": 0.75, "seconds": 3}]}
"""
