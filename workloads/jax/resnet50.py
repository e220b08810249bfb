"""ResNet-50 feature extraction in JAX.

The network of the paper, cut after global average pooling; `variant` v1.5 moves the stride to the 3x3 convolution.
Tensors are channels last. BatchNorm is one factor and one summand per channel in inference; the factor goes into the
convolution's kernel.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from workloads.common import bench
from workloads.jax import runtime

STAGES = ((3, 1), (4, 2), (6, 2), (3, 2))  # blocks, stride of the first block
EPSILON = 1e-5


def conv_norm(params, name, x, stride=1):
    kernel, shift = params[name]
    if len(kernel) == 1:  # on a CPU, XLA computes a matrix product faster than the same as a convolution
        return x[:, ::stride, ::stride] @ kernel[0, 0] + shift
    pad = len(kernel) // 2  # "SAME" would pad a stride of 2 at the end only, where the paper's network pads both sides
    x = lax.conv_general_dilated(
        x, kernel, (stride, stride), [(pad, pad)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return x + shift


def bottleneck(params, name, x, stride, variant):
    stride1, stride3 = (stride, 1) if variant == "v1" else (1, stride)
    out = jax.nn.relu(conv_norm(params, name + ".conv1", x, stride1))
    out = jax.nn.relu(conv_norm(params, name + ".conv2", out, stride3))
    out = conv_norm(params, name + ".conv3", out)
    if name + ".shortcut.conv" in params:
        x = conv_norm(params, name + ".shortcut.conv", x, stride)
    return jax.nn.relu(out + x)


def max_pool(x):
    """Maximum over 3x3 windows, stride 2, padding 1."""
    padding = ((0, 0), (1, 1), (1, 1), (0, 0))
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), padding)


def forward(params, x, variant):
    x = max_pool(jax.nn.relu(conv_norm(params, "conv1", x, stride=2)))
    for stage, (blocks, stride) in enumerate(STAGES, start=1):
        for block in range(blocks):
            x = bottleneck(params, "layer{}.{}".format(stage, block), x, stride if block == 0 else 1, variant)
    return x.mean(axis=(1, 2))


def build(job):
    """{name of a convolution: (kernel in HWIO with the factor of its BatchNorm, summand per channel)}."""
    weights = job.weights()
    params = {}
    for name in weights:
        if name.endswith(".weight"):
            layer = name[: -len(".weight")]
            bn = layer.replace("conv", "bn")
            gamma, beta, mean, var = (weights["{}.{}".format(bn, kind)] for kind in ("gamma", "beta", "mean", "var"))
            scale = gamma / np.sqrt(var + np.float32(EPSILON))
            params[layer] = np.ascontiguousarray(weights[name].transpose(2, 3, 1, 0) * scale), beta - mean * scale
    return jax.device_put(params)


def run(job):
    runtime.start(job, notes=["BatchNorm is folded into the convolutions"])
    images = job.images(layout="NHWC")
    params = build(job)

    def extract(params, batch):
        return forward(params, batch, job.settings["variant"])

    extract = runtime.compiled(job, extract, params, images[0])

    def features(batch):
        return np.asarray(extract(params, batch))

    job.ready()
    job.extract(features, images, sync=lambda: None)  # the device is idle when its features are in the host's memory


if __name__ == "__main__":
    bench.main(run)
