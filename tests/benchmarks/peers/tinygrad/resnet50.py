"""ResNet-50 features in tinygrad, the model as in its extra/models and a TinyJit around it, as its examples infer.

https://github.com/tinygrad/tinygrad/blob/master/extra/models/resnet.py
https://docs.tinygrad.org/quickstart/
"""

import time

import peer
from tinygrad import Tensor, TinyJit, nn


class ConvBN:
    def __init__(self, channels, filters, kernel, stride=1):
        self.conv = nn.Conv2d(channels, filters, kernel, stride, kernel // 2, bias=False)
        self.conv.weight = Tensor.kaiming_normal(*self.conv.weight.shape)
        self.bn = nn.BatchNorm2d(filters)

    def __call__(self, x):
        return self.bn(self.conv(x))


class Bottleneck:
    def __init__(self, channels, width, stride):
        stride1, stride3 = (stride, 1) if peer.SETTINGS["variant"] == "v1" else (1, stride)
        self.layers = [
            ConvBN(channels, width, 1, stride1), Tensor.relu,
            ConvBN(width, width, 3, stride3), Tensor.relu,
            ConvBN(width, 4 * width, 1),
        ]  # fmt: skip
        self.downsample = [ConvBN(channels, 4 * width, 1, stride)] if channels != 4 * width else []

    def __call__(self, x):
        return (x.sequential(self.layers) + x.sequential(self.downsample)).relu()


class ResNet50:
    def __init__(self):
        self.layers = [ConvBN(3, 64, 7, 2), Tensor.relu, lambda x: x.max_pool2d(3, 2, padding=1)]
        channels = 64
        for width, blocks, stride in (64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2):
            for block in range(blocks):
                self.layers.append(Bottleneck(channels, width, 1 if block else stride))
                channels = 4 * width

    def __call__(self, x):
        return x.sequential(self.layers).mean((2, 3))


model = ResNet50()
Tensor.realize(*nn.state.get_parameters(model))
infer = TinyJit(lambda x: model(x).realize())
photos = peer.photos()

for _ in range(3):  # runs, records, replays
    infer(Tensor(photos[0]).realize()).numpy()
began = time.perf_counter()
for batch in photos:
    infer(Tensor(batch).realize()).numpy()
seconds = time.perf_counter() - began
peer.report(photos.shape[0] * photos.shape[1], seconds)
