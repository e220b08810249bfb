"""Features of ResNet-50 in JAX: one jitted function of the parameters and a batch of images, channels last.

https://docs.jax.dev/en/latest/notebooks/convolutions.html
https://docs.jax.dev/en/latest/jit-compilation.html
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
import peer
from jax import lax

V1 = peer.SETTINGS["variant"] == "v1"
he = jax.nn.initializers.he_normal()


def convolution(kernel, inputs, outputs):
    key = jax.random.key(peer.RANDOM.randint(2**31))
    norm = [jnp.ones(outputs), jnp.zeros(outputs), jnp.zeros(outputs), jnp.ones(outputs)]
    return [he(key, (kernel, kernel, inputs, outputs)), norm]


def apply(params, x, stride=1):
    kernel, (gamma, beta, mean, variance) = params
    pad = kernel.shape[0] // 2
    layout = ("NHWC", "HWIO", "NHWC")
    x = lax.conv_general_dilated(x, kernel, (stride, stride), [(pad, pad)] * 2, dimension_numbers=layout)
    scale = gamma * lax.rsqrt(variance + 1e-5)
    return x * scale + (beta - mean * scale)


@jax.jit
def features(params, x):
    x = jax.nn.relu(apply(params["stem"], x, 2))
    x = lax.reduce_window(x, -np.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), ((0, 0), (1, 1), (1, 1), (0, 0)))
    for number, stage in enumerate(params["stages"]):
        for place, block in enumerate(stage):
            stride = 2 if number and not place else 1
            y = jax.nn.relu(apply(block["conv1"], x, stride if V1 else 1))
            y = jax.nn.relu(apply(block["conv2"], y, 1 if V1 else stride))
            shortcut = x if place else apply(block["shortcut"], x, stride)
            x = jax.nn.relu(apply(block["conv3"], y) + shortcut)
    return x.mean(axis=(1, 2))


params = {"stem": convolution(7, 3, 64), "stages": []}
inputs = 64
for blocks, width in ((3, 64), (4, 128), (6, 256), (3, 512)):
    stage = []
    for _ in range(blocks):
        block = {"conv1": convolution(1, inputs, width), "conv2": convolution(3, width, width)}
        block["conv3"] = convolution(1, width, 4 * width)
        if inputs != 4 * width and not stage:
            block["shortcut"] = convolution(1, inputs, 4 * width)
        stage.append(block)
        inputs = 4 * width
    params["stages"].append(stage)

photos = np.ascontiguousarray(peer.photos().transpose(0, 1, 3, 4, 2))
np.asarray(features(params, photos[0]))
began = time.perf_counter()
for batch in photos:
    np.asarray(features(params, batch))
peer.report(photos.shape[0] * photos.shape[1], time.perf_counter() - began)
