"""CNN on CIFAR-10 in NumPy.

A network is a list of layers; layers.py says what each of them computes. Images are channels last.
"""

import numpy as np

from workloads.common import bench
from workloads.numpy import runtime
from workloads.numpy.layers import (
    Convolution,
    Dense,
    Dropout,
    Flatten,
    MaxPool,
    Relu,
    backward,
    forward,
    softmax_cross_entropy,
)

FLATTENED = (512, 100, 8, 8)  # fc1's weight, its columns as what they multiply: C, H, W


class MomentumSgd:
    """v ← momentum · v + g, w ← w − lr · v."""

    def __init__(self, layers, lr, momentum):
        self.layers = layers
        self.lr = lr
        self.momentum = momentum
        self.velocities = [np.zeros_like(w) for layer in layers for w in layer.parameters]

    def step(self):
        weights = [w for layer in self.layers for w in layer.parameters]
        gradients = [g for layer in self.layers for g in layer.gradients]
        for w, g, v in zip(weights, gradients, self.velocities):
            self.update(w, g, v)

    def update(self, w, g, v):
        v *= self.momentum
        v += g
        w -= self.lr * v


def build(job, dtype):
    w = {name: array.astype(dtype) for name, array in job.weights().items()}
    # The flattened images are in the order H, W, C here, the weight's columns in the order C, H, W.
    fc1 = w["fc1.weight"].reshape(FLATTENED).transpose(0, 2, 3, 1).reshape(512, 6400)
    generator = np.random.default_rng(job.seed)

    def dropout(rate):
        return [Dropout(rate, generator)] if rate else []

    return [
        Convolution(w["conv1.weight"], w["conv1.bias"], input_gradient=False),
        Relu(),
        Convolution(w["conv2.weight"], w["conv2.bias"]),
        MaxPool(),
        Relu(),
        *dropout(job.settings["dropout_conv"]),
        Convolution(w["conv3.weight"], w["conv3.bias"]),
        Relu(),
        Convolution(w["conv4.weight"], w["conv4.bias"]),
        MaxPool(),
        Relu(),
        *dropout(job.settings["dropout_conv"]),
        Flatten(),
        Dense(fc1, w["fc1.bias"]),
        Relu(),
        *dropout(job.settings["dropout_dense"]),
        Dense(w["fc2.weight"], w["fc2.bias"]),
    ]


def weights_of(model):
    """The weights as they are now, under the names and in the shapes they came with."""
    found = {}
    trained = [layer for layer in model if layer.parameters]
    for name, layer in zip(("conv1", "conv2", "conv3", "conv4", "fc1", "fc2"), trained):
        weight, found[name + ".bias"] = layer.parameters
        found[name + ".weight"] = weight.transpose(3, 2, 0, 1) if name.startswith("conv") else weight
    n, c, h, w = FLATTENED
    found["fc1.weight"] = found["fc1.weight"].reshape(n, h, w, c).transpose(0, 3, 1, 2).reshape(n, -1)
    return found


def run(job):
    dtype = runtime.start(job)
    x_train, y_train, x_test, y_test = job.data(layout="NHWC")
    model = build(job, dtype)
    without_dropout = [layer for layer in model if not isinstance(layer, Dropout)]
    optimizer = MomentumSgd(model, lr=job.settings["lr"], momentum=job.settings["momentum"])

    def train_step(x, y):
        loss, dscores = softmax_cross_entropy(forward(model, x.astype(dtype, copy=False)), y)
        backward(model, dscores)
        optimizer.step()
        return loss

    def predict(x):
        return forward(without_dropout, x.astype(dtype, copy=False))

    job.ready()
    for epoch in job.epochs(sync=runtime.synchronize, weights=lambda: weights_of(model)):
        for x, y in epoch.batches(x_train, y_train):
            epoch.step(train_step(x, y))
        epoch.score(predict, x_test, y_test)


if __name__ == "__main__":
    bench.main(run)
