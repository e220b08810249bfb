"""ResNet-50 feature extraction in Gluon.

The network of the paper, cut after global average pooling; `variant` v1.5 moves the stride to the 3x3 convolution.
"""

import mxnet as mx
from mxnet import gluon
from mxnet.gluon import nn

from workloads.common import bench
from workloads.gluon import runtime

STAGES = ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2))  # blocks, width, stride of the first block
EXPANSION = 4


def convolution(conv, bn, channels, filters, kernel, stride=1):
    return (
        nn.Conv2D(filters, kernel, stride, kernel // 2, use_bias=False, in_channels=channels, prefix=conv),
        nn.BatchNorm(epsilon=1e-5, in_channels=filters, prefix=bn),
    )


class Bottleneck(gluon.HybridBlock):
    def __init__(self, channels, width, stride, variant, **kwargs):
        super().__init__(**kwargs)
        stride1, stride3 = (stride, 1) if variant == "v1" else (1, stride)
        with self.name_scope():
            self.body = nn.HybridSequential(prefix="")
            self.body.add(*convolution("conv1_", "bn1_", channels, width, 1, stride1), nn.Activation("relu"))
            self.body.add(*convolution("conv2_", "bn2_", width, width, 3, stride3), nn.Activation("relu"))
            self.body.add(*convolution("conv3_", "bn3_", width, width * EXPANSION, 1))
            self.shortcut = nn.HybridSequential(prefix="")
            if stride != 1 or channels != width * EXPANSION:
                self.shortcut.add(
                    *convolution("shortcut_conv_", "shortcut_bn_", channels, width * EXPANSION, 1, stride)
                )

    def hybrid_forward(self, F, x):
        return F.Activation(self.body(x) + self.shortcut(x), act_type="relu")


def network(variant):
    net = nn.HybridSequential(prefix="")
    net.add(*convolution("conv1_", "bn1_", 3, 64, 7, 2), nn.Activation("relu"), nn.MaxPool2D(3, 2, 1))
    channels = 64
    for number, (blocks, width, stride) in enumerate(STAGES, start=1):
        for block in range(blocks):
            prefix = "layer{}_{}_".format(number, block)
            net.add(Bottleneck(channels, width, stride if block == 0 else 1, variant, prefix=prefix))
            channels = width * EXPANSION
    net.add(nn.GlobalAvgPool2D(), nn.Flatten())
    return net


def build(job, context):
    net = network(job.settings["variant"])
    kinds = {"mean": "running_mean", "var": "running_var"}
    weights = {}
    for name, array in job.weights().items():
        layer, kind = name.replace(".", "_").rsplit("_", 1)
        weights["{}_{}".format(layer, kinds.get(kind, kind))] = array
    runtime.set_weights(net, weights, context)
    return net


def run(job):
    context = runtime.start(job)
    images = job.images()
    net = build(job, context)

    def features(batch):
        return net(mx.nd.array(batch, ctx=context)).asnumpy()

    with job.compiling():
        net.hybridize(static_alloc=True, static_shape=True)
        if job.device == "cpu":  # fuse convolution, BatchNorm and ReLU, as the Module API does by itself
            example = mx.nd.array(images[0], ctx=context)
            net.optimize_for(example, backend="MKLDNN", static_alloc=True, static_shape=True)
    job.ready()
    job.extract(features, images, sync=mx.nd.waitall)


if __name__ == "__main__":
    bench.main(run)
