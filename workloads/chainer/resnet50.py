"""ResNet-50 feature extraction in Chainer.

The network of the paper, cut after global average pooling; `variant` v1.5 moves the stride to the 3x3 convolution.
Each BatchNorm is folded into the convolution before it. Chainer's own would take every array out of the blocked layout
that iDeep's convolutions work in, and back, which doubles the time.
"""

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np

from workloads.chainer import runtime
from workloads.common import bench

STAGES = ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2))  # blocks, width, stride of the first block
EXPANSION = 4
EPSILON = 1e-5


def conv(channels, width, size, stride=1):
    return L.Convolution2D(channels, width, size, stride=stride, pad=size // 2)


class Bottleneck(chainer.Chain):
    def __init__(self, channels, width, stride, variant):
        super().__init__()
        stride1, stride3 = (stride, 1) if variant == "v1" else (1, stride)
        with self.init_scope():
            self.conv1 = conv(channels, width, 1, stride1)
            self.conv2 = conv(width, width, 3, stride3)
            self.conv3 = conv(width, width * EXPANSION, 1)
            if stride != 1 or channels != width * EXPANSION:
                self.shortcut = conv(channels, width * EXPANSION, 1, stride)
            else:
                self.shortcut = F.identity

    def forward(self, x):
        out = F.relu(self.conv1(x))
        out = F.relu(self.conv2(out))
        return F.relu(self.conv3(out) + self.shortcut(x))


class Stage(chainer.ChainList):
    """Blocks one after the other. chainer.Sequential cannot be used: its third link takes the second's name."""

    def forward(self, x):
        for block in self:
            x = block(x)
        return x


class ResNet50(chainer.Chain):
    def __init__(self, variant):
        super().__init__()
        with self.init_scope():
            self.conv1 = conv(3, 64, 7, 2)
            channels = 64
            for number, (blocks, width, stride) in enumerate(STAGES, start=1):
                stage = Stage()
                for block in range(blocks):
                    stage.append(Bottleneck(channels, width, stride if block == 0 else 1, variant))
                    channels = width * EXPANSION
                setattr(self, "layer{}".format(number), stage)

    def forward(self, x):
        x = F.max_pooling_2d(F.relu(self.conv1(x)), 3, stride=2, pad=1, cover_all=False)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return F.average_pooling_2d(x, x.shape[2:])


def fold(weights):
    """Weights and biases of the convolutions with their BatchNorms: γ (W x − μ) / √(σ² + ε) + β is one with a bias."""
    folded = {}
    for name in weights:
        layer, _, kind = name.rpartition(".")
        if kind == "gamma":
            gamma, beta, mean, var = (weights["{}.{}".format(layer, kind)] for kind in ("gamma", "beta", "mean", "var"))
            scale = gamma / np.sqrt(var + EPSILON)
            convolution = layer.replace("bn", "conv")
            kernel = weights[convolution + ".weight"]
            link = convolution.replace("shortcut.conv", "shortcut")
            folded[link + ".weight"] = kernel * scale[:, None, None, None]
            folded[link + ".bias"] = beta - mean * scale
    return folded


def build(job, device):
    model = ResNet50(job.settings["variant"])
    runtime.set_weights(model, fold(job.weights()))
    model.to_device(device)
    return model


def run(job):
    device = runtime.start(job, notes=["BatchNorm is folded into the convolutions"])
    images = job.images()
    model = build(job, device)

    def features(batch):
        with chainer.using_config("train", False), chainer.no_backprop_mode():
            return runtime.to_numpy(model(device.send(batch))).reshape(len(batch), -1)

    job.ready()
    job.extract(features, images, sync=lambda: runtime.synchronize(device))


if __name__ == "__main__":
    bench.main(run)
