"""ResNet-50 feature extraction in NumPy.

The network of the paper, cut after global average pooling; `variant` v1.5 moves the stride to the 3x3 convolution.
Images are channels last.
"""

import numpy as np

from workloads.common import bench
from workloads.numpy import runtime
from workloads.numpy.layers import channels_last, convolve

STAGES = ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2))  # blocks, width, stride of the first block
EXPANSION = 4
EPSILON = 1e-5
TOGETHER = 4  # images that go through the network at a time, so that a layer finds in the cache what the last one wrote


class ConvolutionBatchNorm:
    """A convolution without bias, then γ · (y − mean) / √(var + ε) + β.

    In inference these are constants, one factor and one summand per channel, and the factor goes into the kernel."""

    def __init__(self, weights, convolution, bn, stride=1):
        gamma, beta, mean, var = (weights[bn + "." + name] for name in ("gamma", "beta", "mean", "var"))
        scale = gamma / np.sqrt(var + EPSILON)
        self.kernel = channels_last(weights[convolution + ".weight"]) * scale
        self.shift = beta - mean * scale
        self.stride = stride

    def forward(self, x):
        y = convolve(x, self.kernel, self.stride, padding=len(self.kernel) // 2)
        y += self.shift
        return y


class Bottleneck:
    """1x1 down to `width` channels, 3x3, 1x1 up to four times as many, added to what went around them."""

    def __init__(self, weights, name, channels, width, stride, variant):
        stride1, stride2 = (stride, 1) if variant == "v1" else (1, stride)
        self.layer1 = ConvolutionBatchNorm(weights, name + ".conv1", name + ".bn1", stride1)
        self.layer2 = ConvolutionBatchNorm(weights, name + ".conv2", name + ".bn2", stride2)
        self.layer3 = ConvolutionBatchNorm(weights, name + ".conv3", name + ".bn3")
        self.shortcut = None
        if stride != 1 or channels != width * EXPANSION:
            self.shortcut = ConvolutionBatchNorm(weights, name + ".shortcut.conv", name + ".shortcut.bn", stride)

    def forward(self, x):
        y = relu(self.layer1.forward(x))
        y = relu(self.layer2.forward(y))
        y = self.layer3.forward(y)
        y += self.shortcut.forward(x) if self.shortcut else x
        return relu(y)


class ResNet50:
    def __init__(self, weights, variant):
        self.stem = ConvolutionBatchNorm(weights, "conv1", "bn1", stride=2)
        self.blocks = []
        channels = 64
        for number, (blocks, width, stride) in enumerate(STAGES, start=1):
            for block in range(blocks):
                name = "layer{}.{}".format(number, block)
                self.blocks.append(Bottleneck(weights, name, channels, width, stride if block == 0 else 1, variant))
                channels = width * EXPANSION

    def forward(self, x):
        x = max_pool(relu(self.stem.forward(x)))
        for block in self.blocks:
            x = block.forward(x)
        return x.mean(axis=(1, 2))


def relu(x):
    return np.maximum(x, 0, out=x)


def max_pool(x):
    """Maximum over 3x3 windows, stride 2, padding 1, of numbers that are not negative: (n, h, w, c) with h, w even.

    Zeros pad as well as -∞ then, and only above and on the left: below and on the right no window sticks out."""
    padded = np.pad(x, ((0, 0), (1, 0), (1, 0), (0, 0)), mode="constant")
    rows = np.maximum(np.maximum(padded[:, 0:-1:2], padded[:, 1::2]), padded[:, 2::2])
    return np.maximum(np.maximum(rows[:, :, 0:-1:2], rows[:, :, 1::2]), rows[:, :, 2::2])


def build(job, dtype):
    weights = {name: array.astype(dtype) for name, array in job.weights().items()}
    return ResNet50(weights, job.settings["variant"])


def run(job):
    dtype = runtime.start(job, notes=["BatchNorm is folded into the convolutions"])
    images = job.images(layout="NHWC")
    model = build(job, dtype)

    def features(batch):
        portions = (batch[first : first + TOGETHER] for first in range(0, len(batch), TOGETHER))
        return np.concatenate([model.forward(x.astype(dtype, copy=False)) for x in portions])

    job.ready()
    job.extract(features, images, sync=runtime.synchronize)


if __name__ == "__main__":
    bench.main(run)
