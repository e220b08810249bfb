"""ResNet-50 feature extraction in CNTK.

The network of the paper, cut after global average pooling; `variant` v1.5 moves the stride to the 3x3 convolution. The
statistics of each batch normalisation are fixed, so it goes into the weights and biases of the convolution before it.
"""

import cntk as C
import numpy as np

from workloads.cntk import runtime
from workloads.cntk.runtime import parameter
from workloads.common import bench

STAGES = ((3, 1), (4, 2), (6, 2), (3, 2))  # blocks, stride of the first block; the widths are those of the weights
EPSILON = np.float32(1e-5)


def conv(x, weights, name, bn, stride=1):
    """The convolution `name` with the batch normalisation `bn` in its weights and biases."""
    gamma, beta, mean, var = (weights["{}.{}".format(bn, kind)] for kind in ("gamma", "beta", "mean", "var"))
    scale = gamma / np.sqrt(var + EPSILON)
    kernel, bias = weights[name + ".weight"] * scale[:, None, None, None], (beta - mean * scale)[:, None, None]
    if kernel.shape[2:] == (1, 1) and not runtime.on_gpu():
        return pointwise(x, kernel[:, :, 0, 0], stride) + parameter(bias)
    # CNTK centres the kernel on every `stride`-th pixel, first one included: padding of k // 2 on every side.
    strides = (stride, stride)
    return C.convolution(parameter(kernel), x, strides, auto_padding=[False, True, True]) + parameter(bias)


def pointwise(x, matrix, stride):
    """A 1x1 convolution as the matrix product it is: on a CPU, CNTK's own takes half as long again."""
    if stride > 1:
        x = C.slice(x, axis=[1, 2], begin_index=[0, 0], end_index=[0, 0], strides=[stride, stride])
    channels, height, width = x.shape
    product = C.times(parameter(matrix), C.reshape(x, (channels, height * width)))
    return C.reshape(product, (-1, height, width))


def bottleneck(x, weights, name, stride, variant):
    stride1, stride3 = (stride, 1) if variant == "v1" else (1, stride)
    out = C.relu(conv(x, weights, name + ".conv1", name + ".bn1", stride1))
    out = C.relu(conv(out, weights, name + ".conv2", name + ".bn2", stride3))
    out = conv(out, weights, name + ".conv3", name + ".bn3")
    if name + ".shortcut.conv.weight" in weights:
        x = conv(x, weights, name + ".shortcut.conv", name + ".shortcut.bn", stride)
    return C.relu(out + x)


def network(x, weights, variant):
    x = C.relu(conv(x, weights, "conv1", "bn1", stride=2))
    x = C.pooling(x, C.MAX_POOLING, (3, 3), strides=(2, 2), auto_padding=[True])
    for stage, (blocks, stride) in enumerate(STAGES, start=1):
        for block in range(blocks):
            x = bottleneck(x, weights, "layer{}.{}".format(stage, block), stride if block == 0 else 1, variant)
    return C.reshape(C.layers.GlobalAveragePooling()(x), -1)


def build(job):
    return network(C.input_variable((3, 224, 224)), job.weights(), job.settings["variant"])


def run(job):
    runtime.start(job, notes=["batch normalisation folded into the convolutions"])
    images = job.images()
    model = build(job)

    job.ready()
    job.extract(model.eval, images, sync=lambda: runtime.synchronize(model))


if __name__ == "__main__":
    bench.main(run)
