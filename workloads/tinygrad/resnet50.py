"""ResNet-50 feature extraction in tinygrad.

The network of the paper, cut after global average pooling; `variant` v1.5 moves the stride to the 3x3 convolution.
BatchNorm is one factor and one summand per channel in inference; the factor goes into the convolution's kernel.
"""

import numpy as np
from tinygrad import TinyJit

from workloads.common import bench
from workloads.tinygrad import runtime

STAGES = ((3, 1), (4, 2), (6, 2), (3, 2))  # blocks, stride of the first block
EPSILON = 1e-5


def conv_norm(params, name, x, stride=1):
    kernel, shift = params[name]
    return x.conv2d(kernel, shift, stride=stride, padding=kernel.shape[-1] // 2)


def bottleneck(params, name, x, stride, variant):
    stride1, stride3 = (stride, 1) if variant == "v1" else (1, stride)
    out = conv_norm(params, name + ".conv1", x, stride1).relu()
    out = conv_norm(params, name + ".conv2", out, stride3).relu()
    out = conv_norm(params, name + ".conv3", out)
    if name + ".shortcut.conv" in params:
        x = conv_norm(params, name + ".shortcut.conv", x, stride)
    return (out + x).relu()


def forward(params, x, variant):
    x = conv_norm(params, "conv1", x, stride=2).relu().max_pool2d(3, stride=2, padding=1)
    for stage, (blocks, stride) in enumerate(STAGES, start=1):
        for block in range(blocks):
            x = bottleneck(params, "layer{}.{}".format(stage, block), x, stride if block == 0 else 1, variant)
    return x.mean((2, 3))


def build(job, devices):
    """{name of a convolution: (kernel with the factor of its BatchNorm, summand per channel)}."""
    weights = job.weights()
    params = {}
    for name in weights:
        if name.endswith(".weight"):
            layer = name[: -len(".weight")]
            bn = layer.replace("conv", "bn")
            gamma, beta, mean, var = (weights["{}.{}".format(bn, kind)] for kind in ("gamma", "beta", "mean", "var"))
            scale = gamma / np.sqrt(var + np.float32(EPSILON))
            folded = weights[name] * scale[:, None, None, None], beta - mean * scale
            params[layer] = tuple(runtime.copied(array, devices) for array in folded)
    return params


def run(job):
    devices = runtime.start(job, notes=["BatchNorm is folded into the convolutions"])
    images = job.images()
    params = build(job, devices)

    @TinyJit
    def extract(x):
        return forward(params, x, job.settings["variant"]).realize()

    def features(batch):
        return extract(runtime.split(batch, devices)).numpy()

    with job.compiling():
        for _ in runtime.CALLS_THAT_COMPILE:
            features(images[0])
    job.ready()
    job.extract(features, images, sync=lambda: runtime.synchronize(devices))


if __name__ == "__main__":
    bench.main(run)
