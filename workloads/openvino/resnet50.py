"""ResNet-50 feature extraction in OpenVINO.

The network of the paper, cut after global average pooling; `variant` v1.5 moves the stride to the 3x3 convolution.
OpenVINO optimises the network when it compiles it: it folds BatchNorm into the convolutions, merges ReLU and the sums
with them, and gives images and weights the order that oneDNN's convolutions want.
"""

import numpy as np
import openvino as ov
from openvino import opset15 as ops

from workloads.common import bench
from workloads.openvino import runtime

STAGES = ((3, 1), (4, 2), (6, 2), (3, 2))  # blocks, stride of the first block


class ResNet50:
    def __init__(self, weights, variant):
        self.weights = weights
        self.variant = variant

    def conv(self, x, name, stride=1, pad=0):
        kernel, pads = self.weights[name + ".weight"], [pad, pad]
        return ops.convolution(x, kernel, strides=[stride, stride], pads_begin=pads, pads_end=pads, dilations=[1, 1])

    def norm(self, x, name):
        gamma, beta, mean, var = (self.weights["{}.{}".format(name, kind)] for kind in ("gamma", "beta", "mean", "var"))
        return ops.batch_norm_inference(x, gamma, beta, mean, var, epsilon=1e-5)

    def bottleneck(self, x, name, stride):
        stride1, stride3 = (stride, 1) if self.variant == "v1" else (1, stride)
        out = ops.relu(self.norm(self.conv(x, name + ".conv1", stride1), name + ".bn1"))
        out = ops.relu(self.norm(self.conv(out, name + ".conv2", stride3, pad=1), name + ".bn2"))
        out = self.norm(self.conv(out, name + ".conv3"), name + ".bn3")
        if name + ".shortcut.conv.weight" in self.weights:
            x = self.norm(self.conv(x, name + ".shortcut.conv", stride), name + ".shortcut.bn")
        return ops.relu(ops.add(out, x))

    def forward(self, x):
        x = ops.relu(self.norm(self.conv(x, "conv1", stride=2, pad=3), "bn1"))
        x = ops.max_pool(x, strides=[2, 2], dilations=[1, 1], pads_begin=[1, 1], pads_end=[1, 1], kernel_shape=[3, 3])
        x = x.output(0)  # the other output says where the maxima were
        for stage, (blocks, stride) in enumerate(STAGES, start=1):
            for block in range(blocks):
                x = self.bottleneck(x, "layer{}.{}".format(stage, block), stride if block == 0 else 1)
        return ops.reduce_mean(x, [2, 3])


def build(job):
    network = ResNet50(job.weights(), job.settings["variant"])
    images = ops.parameter([job.settings["batch"], 3, 224, 224], np.float32)
    return ov.Model([network.forward(images)], [images])


def run(job):
    options = runtime.start(job, notes=["OpenVINO folds BatchNorm into the convolutions"])
    images = job.images()
    model = build(job)
    with job.compiling():
        network = ov.Core().compile_model(model, "CPU", options)

    def features(batch):
        return network(batch)[0]

    job.ready()
    job.extract(features, images, sync=runtime.synchronize)


if __name__ == "__main__":
    bench.main(run)
