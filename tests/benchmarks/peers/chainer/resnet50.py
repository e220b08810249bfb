"""ResNet-50 features in Chainer, the model as in its ImageNet example, on iDeep as its performance tips say.

https://docs.chainer.org/en/stable/tips.html#how-do-i-accelerate-my-model-using-chainer-backend-for-intel-architecture
https://github.com/chainer/chainer/blob/master/examples/imagenet/resnet50.py
"""

import time

import chainer
import chainer.functions as F
import chainer.links as L
import peer

chainer.global_config.use_ideep = "auto"
chainer.global_config.train = False


class ConvBN(chainer.Chain):
    def __init__(self, channels, filters, kernel, stride=1):
        super().__init__()
        he = chainer.initializers.HeNormal()
        with self.init_scope():
            self.conv = L.Convolution2D(channels, filters, kernel, stride, kernel // 2, nobias=True, initialW=he)
            self.bn = L.BatchNormalization(filters, eps=1e-5)

    def forward(self, x):
        return self.bn(self.conv(x))


class Bottleneck(chainer.Chain):
    def __init__(self, channels, width, stride):
        super().__init__()
        stride1, stride3 = (stride, 1) if peer.SETTINGS["variant"] == "v1" else (1, stride)
        with self.init_scope():
            self.one, self.two = ConvBN(channels, width, 1, stride1), ConvBN(width, width, 3, stride3)
            self.three = ConvBN(width, 4 * width, 1)
            self.shortcut = F.identity if channels == 4 * width else ConvBN(channels, 4 * width, 1, stride)

    def forward(self, x):
        return F.relu(self.three(F.relu(self.two(F.relu(self.one(x))))) + self.shortcut(x))


class ResNet50(chainer.Chain):
    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.first, self.blocks = ConvBN(3, 64, 7, 2), chainer.ChainList()
            channels = 64
            for width, blocks, stride in (64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2):
                for block in range(blocks):
                    self.blocks.append(Bottleneck(channels, width, 1 if block else stride))
                    channels = 4 * width

    def forward(self, x):
        x = F.max_pooling_2d(F.relu(self.first(x)), 3, 2, 1, cover_all=False)
        for block in self.blocks:
            x = block(x)
        return F.reshape(F.average_pooling_2d(x, 7), (len(x), -1))


device = chainer.get_device("@intel64")
model = ResNet50()
model.to_device(device)
photos = peer.photos()

for _ in "cold", "timed":
    began = time.perf_counter()
    for batch in photos:
        with chainer.no_backprop_mode():
            chainer.get_device("@numpy").send(model(device.send(batch)).array)
    seconds = time.perf_counter() - began
peer.report(photos.shape[0] * photos.shape[1], seconds)
