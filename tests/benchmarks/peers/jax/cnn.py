"""A small CNN in JAX and Optax: one jitted training step whose state is donated, channels last.

https://docs.jax.dev/en/latest/notebooks/convolutions.html
https://docs.jax.dev/en/latest/buffer_donation.html
https://optax.readthedocs.io/en/latest/getting_started.html
"""

import functools
import time

import jax
import numpy as np
import optax
import peer
from jax import lax

S = peer.SETTINGS
BATCH = S["batch"]
LAYERS = {"conv1": (3, 3, 3, 50), "conv2": (3, 3, 50, 50), "conv3": (3, 3, 50, 100), "conv4": (3, 3, 100, 100)}
LAYERS.update(fc1=(6400, 512), fc2=(512, 10))


def conv(params, x):
    kernel, bias = params
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")) + bias


def pool(x):
    return lax.reduce_window(x, -np.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def dropout(key, x, rate):
    return jax.numpy.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0)


def loss_function(params, key, images, classes):
    keys = jax.random.split(key, 3)
    x = jax.nn.relu(conv(params["conv1"], images))
    x = dropout(keys[0], pool(jax.nn.relu(conv(params["conv2"], x))), S["dropout_conv"])
    x = jax.nn.relu(conv(params["conv3"], x))
    x = dropout(keys[1], pool(jax.nn.relu(conv(params["conv4"], x))), S["dropout_conv"])
    x = jax.nn.relu(x.reshape(len(x), -1) @ params["fc1"][0] + params["fc1"][1])
    x = dropout(keys[2], x, S["dropout_dense"]) @ params["fc2"][0] + params["fc2"][1]
    return optax.softmax_cross_entropy_with_integer_labels(x, classes).mean()


@functools.partial(jax.jit, donate_argnums=(0, 1, 2))
def step(params, state, key, images, classes):
    key, drop = jax.random.split(key)
    gradients = jax.grad(loss_function)(params, drop, images, classes)
    updates, state = optimizer.update(gradients, state, params)
    return optax.apply_updates(params, updates), state, key


def train(carry, images, classes):
    order = peer.RANDOM.permutation(len(images))
    for start in range(0, len(images), BATCH):
        indices = order[start : start + BATCH]
        carry = step(*carry, images[indices], classes[indices])
    return jax.block_until_ready(carry)


images, classes = peer.cifar10()
images = images.transpose(0, 2, 3, 1).copy()
glorot = jax.nn.initializers.glorot_uniform()
keys = jax.random.split(jax.random.key(0), len(LAYERS))
params = {name: (glorot(key, shape), jax.numpy.zeros(shape[-1])) for key, (name, shape) in zip(keys, LAYERS.items())}
optimizer = optax.sgd(S["lr"], S["momentum"])

carry = train((params, optimizer.init(params), jax.random.key(1)), images[: 2 * BATCH], classes)
began = time.perf_counter()
train(carry, images, classes)
peer.report(len(images), time.perf_counter() - began)
