"""ResNet-50 feature extraction in Lasagne.

The network of the paper, cut after global average pooling; `variant` v1.5 moves the stride to the 3x3 convolution.
Lasagne 0.1 has no batch normalisation. With fixed statistics it is a scale and a shift of every channel, so it goes
into the weights and biases of the convolution before it.
"""

import lasagne
import numpy as np
import theano
from lasagne.layers import ElemwiseSumLayer, GlobalPoolLayer, InputLayer, MaxPool2DLayer, NonlinearityLayer
from lasagne.nonlinearities import identity, rectify
from theano import tensor as T

from workloads.common import bench
from workloads.lasagne import runtime
from workloads.lasagne.layers import Conv2DLayer

STAGES = ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2))  # blocks, width, stride of the first block
EXPANSION = 4
EPSILON = np.float32(1e-5)


def convolution(layer, weights, conv, bn, stride=1, nonlinearity=rectify):
    """The convolution named `conv` with the batch normalisation named `bn` in its weights and biases."""
    gamma, beta, mean, var = (weights["{}.{}".format(bn, kind)] for kind in ("gamma", "beta", "mean", "var"))
    scale = gamma / np.sqrt(var + EPSILON)
    W = weights[conv + ".weight"] * scale[:, np.newaxis, np.newaxis, np.newaxis]
    filters, _, size, _ = W.shape
    return Conv2DLayer(
        layer, filters, size, stride, pad=size // 2, W=W, b=beta - mean * scale, nonlinearity=nonlinearity
    )


def bottleneck(layer, weights, name, stride, variant):
    stride1, stride3 = (stride, 1) if variant == "v1" else (1, stride)
    shortcut = layer
    if name + ".shortcut.conv.weight" in weights:
        shortcut = convolution(
            layer, weights, name + ".shortcut.conv", name + ".shortcut.bn", stride, nonlinearity=identity
        )
    layer = convolution(layer, weights, name + ".conv1", name + ".bn1", stride1)
    layer = convolution(layer, weights, name + ".conv2", name + ".bn2", stride3)
    layer = convolution(layer, weights, name + ".conv3", name + ".bn3", nonlinearity=identity)
    return NonlinearityLayer(ElemwiseSumLayer([layer, shortcut]), rectify)


def build(job, images):
    weights = job.weights()
    layer = InputLayer((job.settings["batch"], 3, 224, 224), images)
    layer = convolution(layer, weights, "conv1", "bn1", stride=2)
    layer = MaxPool2DLayer(layer, 3, stride=2, pad=1)
    for number, (blocks, _, stride) in enumerate(STAGES, start=1):
        for block in range(blocks):
            name = "layer{}.{}".format(number, block)
            layer = bottleneck(layer, weights, name, stride if block == 0 else 1, job.settings["variant"])
    return GlobalPoolLayer(layer)


def run(job):
    runtime.start(job, notes=["BatchNorm is folded into the convolutions"])
    images = job.images()
    batch = T.tensor4("images")
    network = build(job, batch)
    parameters = lasagne.layers.get_all_params(network)

    with job.compiling():
        features = theano.function([batch], lasagne.layers.get_output(network, deterministic=True))

    job.ready()
    job.extract(features, images, sync=lambda: runtime.synchronize(parameters))


if __name__ == "__main__":
    bench.main(run)
