"""A small GPT in JAX: jax.nn.dot_product_attention, and an Optax chain, in one jitted step whose state is donated.

https://docs.jax.dev/en/latest/_autosummary/jax.nn.dot_product_attention.html
https://docs.jax.dev/en/latest/buffer_donation.html
https://optax.readthedocs.io/en/latest/api/optimizer_schedules.html
"""

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import peer

S = peer.SETTINGS
BATCH, CONTEXT, WIDTH, HEADS = S["batch"], S["context"], S["width"], S["heads"]


def norm(x, gain):
    return jax.nn.standardize(x, epsilon=1e-5) * gain


def dropout(key, x):
    if not S["dropout"]:
        return x
    kept = jax.random.bernoulli(key, 1 - S["dropout"], x.shape)
    return jnp.where(kept, x / (1 - S["dropout"]), 0)


def attention(block, x, key):
    q, k, v = ((x @ block[name]).reshape(*x.shape[:2], HEADS, -1) for name in ("q", "k", "v"))
    if not S["dropout"]:
        return jax.nn.dot_product_attention(q, k, v, is_causal=True).reshape(x.shape) @ block["out"]
    scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(WIDTH // HEADS)
    scores = jnp.where(np.tri(CONTEXT, dtype=bool), scores, -np.inf)
    shares = dropout(key, jax.nn.softmax(scores))
    return jnp.einsum("bhqk,bkhd->bqhd", shares, v).reshape(x.shape) @ block["out"]


def loss_function(params, key, ids, targets):
    keys = iter(jax.random.split(key, 3 * S["layers"] + 1))
    x = dropout(next(keys), params["token"][ids] + params["position"])
    for block in params["blocks"]:
        x += dropout(next(keys), attention(block, norm(x, block["gain1"]), next(keys)))
        y = jax.nn.gelu(norm(x, block["gain2"]) @ block["up"], approximate=False) @ block["down"]
        x += dropout(next(keys), y)
    logits = norm(x, params["gain"]) @ params["token"].T
    return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()


@functools.partial(jax.jit, donate_argnums=(0, 1, 2))
def step(params, state, key, ids, targets):
    key, drop = jax.random.split(key)
    updates, state = optimizer.update(jax.grad(loss_function)(params, drop, ids, targets), state, params)
    return optax.apply_updates(params, updates), state, key


def train(carry, text, steps):
    for _ in range(steps):
        places = peer.RANDOM.randint(len(text) - CONTEXT, size=(BATCH, 1)) + np.arange(CONTEXT)
        carry = step(*carry, text[places], text[places + 1])
    return jax.block_until_ready(carry)


def normal(*shape):
    return 0.02 * jax.random.normal(jax.random.key(peer.RANDOM.randint(2**31)), shape)


params = {"token": normal(65, WIDTH), "position": normal(CONTEXT, WIDTH), "gain": jnp.ones(WIDTH), "blocks": []}
for _ in range(S["layers"]):
    block = {name: normal(WIDTH, WIDTH) for name in ("q", "k", "v", "out")}
    block.update(up=normal(WIDTH, 4 * WIDTH), down=normal(4 * WIDTH, WIDTH))
    block.update(gain1=jnp.ones(WIDTH), gain2=jnp.ones(WIDTH))
    params["blocks"].append(block)
decay_steps = max(S["warmup"] + 1, S["decay_steps"])
rate = optax.warmup_cosine_decay_schedule(0.0, S["lr"], S["warmup"], decay_steps, S["lr"] * S["lr_end"])
decays = jax.tree.map(lambda weight: weight.ndim > 1, params)
optimizer = optax.chain(
    optax.clip_by_global_norm(S["clip"]),
    optax.adamw(rate, S["beta1"], S["beta2"], S["epsilon"], weight_decay=S["weight_decay"], mask=decays),
)

text = peer.text()
carry = train((params, optimizer.init(params), jax.random.key(0)), text, 3)
began = time.perf_counter()
train(carry, text, S["steps"])
peer.report(S["steps"] * BATCH * CONTEXT, time.perf_counter() - began)
