"""A GRU in JAX: lax.scan over time inside one jitted training step whose state is donated; Adam by Optax.

https://docs.jax.dev/en/latest/_autosummary/jax.lax.scan.html
https://docs.jax.dev/en/latest/buffer_donation.html
https://optax.readthedocs.io/en/latest/getting_started.html
"""

import functools
import time

import jax
import jax.numpy as jnp
import optax
import peer
from jax import lax

S = peer.SETTINGS
BATCH, UNITS = S["batch"], 100
SHAPES = {"embedding": (30000, 125), "input": (125, 3 * UNITS), "hidden": (UNITS, 3 * UNITS), "dense": (UNITS, 2)}


def loss_function(params, words, classes):
    inputs = params["embedding"][words.T] @ params["input"] + params["input_bias"]

    def cell(h, x):
        reset, update, new = jnp.split(x, 3, axis=1)
        h_reset, h_update, h_new = jnp.split(h @ params["hidden"] + params["hidden_bias"], 3, axis=1)
        z = jax.nn.sigmoid(update + h_update)
        n = jnp.tanh(new + jax.nn.sigmoid(reset + h_reset) * h_new)
        return (1 - z) * n + z * h, None

    last, _ = lax.scan(cell, jnp.zeros((len(words), UNITS)), inputs)
    logits = last @ params["dense"] + params["dense_bias"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, classes).mean()


@functools.partial(jax.jit, donate_argnums=(0, 1))
def step(params, state, words, classes):
    updates, state = optimizer.update(jax.grad(loss_function)(params, words, classes), state, params)
    return optax.apply_updates(params, updates), state


def train(carry, words, classes):
    order = peer.RANDOM.permutation(len(words))
    for start in range(0, len(words), BATCH):
        indices = order[start : start + BATCH]
        carry = step(*carry, words[indices], classes[indices])
    return jax.block_until_ready(carry)


words, classes = peer.imdb()
glorot = jax.nn.initializers.glorot_uniform()
keys = jax.random.split(jax.random.key(0), len(SHAPES))
params = {name: glorot(key, shape) for key, (name, shape) in zip(keys, SHAPES.items())}
params.update({name + "_bias": jnp.zeros(SHAPES[name][1]) for name in ("input", "hidden", "dense")})
optimizer = optax.adam(S["lr"], S["beta1"], S["beta2"], S["epsilon"])

carry = train((params, optimizer.init(params)), words[: 2 * BATCH], classes)
began = time.perf_counter()
train(carry, words, classes)
peer.report(len(words), time.perf_counter() - began)
