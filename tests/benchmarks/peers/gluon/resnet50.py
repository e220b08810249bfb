"""ResNet-50 features in Gluon, hybridized with static memory and shapes, as MXNet's performance guide says.

https://mxnet.apache.org/versions/1.9.1/api/python/docs/tutorials/packages/gluon/blocks/hybridize.html
https://mxnet.apache.org/versions/1.9.1/api/python/docs/tutorials/performance/backend/mkldnn/mkldnn_readme.html
"""

import time

import mxnet as mx
import peer
from mxnet import gluon
from mxnet.gluon import nn


def conv_bn(filters, kernel, stride=1):
    return nn.Conv2D(filters, kernel, stride, kernel // 2, use_bias=False), nn.BatchNorm(epsilon=1e-5)


class Bottleneck(gluon.HybridBlock):
    def __init__(self, channels, width, stride):
        super().__init__()
        stride1, stride3 = (stride, 1) if peer.SETTINGS["variant"] == "v1" else (1, stride)
        self.body, self.downsample = nn.HybridSequential(), nn.HybridSequential()
        self.body.add(*conv_bn(width, 1, stride1), nn.Activation("relu"))
        self.body.add(*conv_bn(width, 3, stride3), nn.Activation("relu"), *conv_bn(4 * width, 1))
        if channels != 4 * width:
            self.downsample.add(*conv_bn(4 * width, 1, stride))

    def hybrid_forward(self, F, x):
        return F.Activation(self.body(x) + self.downsample(x), act_type="relu")


net = nn.HybridSequential()
net.add(*conv_bn(64, 7, 2), nn.Activation("relu"), nn.MaxPool2D(3, 2, 1))
channels = 64
for width, blocks, stride in (64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2):
    for block in range(blocks):
        net.add(Bottleneck(channels, width, 1 if block else stride))
        channels = 4 * width
net.add(nn.GlobalAvgPool2D(), nn.Flatten())
net.initialize(mx.init.MSRAPrelu())
net.hybridize(static_alloc=True, static_shape=True)
photos = peer.photos()

for _ in "cold", "timed":
    began = time.perf_counter()
    for batch in photos:
        net(mx.nd.array(batch)).asnumpy()
    seconds = time.perf_counter() - began
peer.report(photos.shape[0] * photos.shape[1], seconds)
