"""Character-level GPT on Tiny Shakespeare in JAX.

Parameters, the optimiser's state and the key of the random numbers go into a training step and come out of it; their
memory is donated, so that XLA updates them in place. Mixed precision is bfloat16 on every device: it has the range of
float32, so that no gradient vanishes and none has to be scaled.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax

from workloads.common import bench
from workloads.jax import runtime

EPSILON = 1e-5  # of LayerNorm


def linear(params, name, x):
    weight = params[name + ".weight"]
    return x.astype(weight.dtype) @ weight.T


def layer_norm(params, name, x):
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = jnp.square(centred).mean(axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(variance + EPSILON) * params[name + ".weight"]


def gelu(x):
    """The exact GELU. jax.nn.gelu uses erfc, which is slower on a CPU: a step then takes 1.5 times as long."""
    return 0.5 * x * (1 + jax.lax.erf(x * math.sqrt(0.5)))


def dropout(x, rate, key):
    """Zero numbers with probability `rate` and scale the others up. Without a key, x as it is."""
    if key is None:
        return x
    return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0)


def attention(q, k, v, rate, key):
    """Causal attention. q, k, v and what is returned: (batch, heads, context, width / heads).

    On a CPU this takes less time than jax.nn.dot_product_attention. On a GPU that function has a fused kernel, cuDNN's,
    but only for 16 bits and without dropout; otherwise XLA compiles the same operations as here."""
    context, size = q.shape[-2:]
    scores = (q / math.sqrt(size)) @ k.swapaxes(-1, -2)
    seen = np.tri(context, dtype=bool)
    weights = jax.nn.softmax(jnp.where(seen, scores.astype(jnp.float32), -jnp.inf)).astype(v.dtype)
    return dropout(weights, rate, key) @ v


def block(params, name, x, heads, rate, keys):
    """A transformer block with LayerNorm first: attention, then a perceptron, each added to the stream."""
    batch, context, width = x.shape
    qkv = linear(params, name + ".qkv", layer_norm(params, name + ".norm1", x))
    q, k, v = qkv.reshape(batch, context, 3, heads, width // heads).transpose(2, 0, 3, 1, 4)
    y = attention(q, k, v, rate, next(keys)).transpose(0, 2, 1, 3).reshape(x.shape)
    x = x + dropout(linear(params, name + ".out", y), rate, next(keys))
    y = gelu(linear(params, name + ".up", layer_norm(params, name + ".norm2", x)))
    return x + dropout(linear(params, name + ".down", y), rate, next(keys))


def forward(params, ids, layers, heads, rate=0.0, key=None):
    """Logits of the next character, (batch, context) -> (batch, context, 65). Drops out only if there is a key."""
    places = 1 + 3 * layers  # of dropout
    keys = iter([None] * places if key is None or rate == 0 else jax.random.split(key, places))
    x = dropout(params["token.weight"][ids] + params["position.weight"], rate, next(keys))
    for number in range(layers):
        x = block(params, "blocks.{}".format(number), x, heads, rate, keys)
    return linear(params, "token", layer_norm(params, "norm", x))  # tied: the token embedding, transposed


def mixed(params):
    """The blocks' matrices in bfloat16, and with them their products; the rest stays in float32."""
    return {
        name: weight.astype(jnp.bfloat16) if name.startswith("blocks.") and weight.ndim > 1 else weight
        for name, weight in params.items()
    }


def learning_rate(settings):
    """The schedule, as a function of the step; Optax counts from 0, too."""
    lr, warmup = settings["lr"], settings["warmup"]
    return optax.warmup_cosine_decay_schedule(
        init_value=lr / (warmup + 1),
        peak_value=lr,
        warmup_steps=warmup,
        decay_steps=max(settings["decay_steps"] - 1, warmup + 1),  # Optax wants at least one step of the cosine
        end_value=lr * settings["lr_end"],
    )


def adamw(settings):
    """AdamW after clipping; it lets matrices decay, but not the gains of LayerNorm."""
    return optax.chain(
        optax.clip_by_global_norm(settings["clip"]),
        optax.adamw(
            learning_rate(settings),
            b1=settings["beta1"],
            b2=settings["beta2"],
            eps=settings["epsilon"],
            weight_decay=settings["weight_decay"],
            mask=lambda params: jax.tree.map(lambda weight: weight.ndim > 1, params),
        ),
    )


def build(job):
    """The weights under their own names and in their own shapes: XLA multiplies by a transposed matrix as fast."""
    return runtime.on_all(job, job.weights())


def run(job):
    runtime.start(job, precisions=("fp32", "tf32", "amp"))
    x_train, y_train, x_test, y_test = job.windows()
    layers, heads, rate = (job.settings[name] for name in ("layers", "heads", "dropout"))
    params = build(job)
    optimizer = adamw(job.settings)
    key = runtime.on_all(job, jax.random.key(job.seed, impl="rbg"))  # the fast generator
    state = params, runtime.on_all(job, optimizer.init(params)), key

    def logits(params, x, key=None):
        return forward(mixed(params) if job.precision == "amp" else params, x, layers, heads, rate, key)

    def loss_function(params, x, y, key):
        return optax.softmax_cross_entropy_with_integer_labels(logits(params, x, key), y).mean()

    def train_step(state, x, y):
        params, moments, key = state
        key, dropout_key = jax.random.split(key)
        loss, gradients = jax.value_and_grad(loss_function)(params, x, y, dropout_key)
        updates, moments = optimizer.update(gradients, moments, params)
        return (optax.apply_updates(params, updates), moments, key), loss

    def synchronize():
        jax.block_until_ready(state)

    x, y = (runtime.split(job, array[: job.settings["batch"]]) for array in (x_train, y_train))
    train_step = runtime.compiled(job, train_step, state, x, y, donate=0)
    scores = runtime.compiled(job, logits, params, x)

    def predict(x):
        params, _, _ = state
        return scores(params, runtime.split(job, x))

    def weights():
        params, _, _ = state
        return jax.device_get(params)

    job.ready()
    for epoch in job.epochs(sync=synchronize, weights=weights):
        for x, y in epoch.batches(x_train, y_train):
            state, loss = train_step(state, runtime.split(job, x), runtime.split(job, y))
            epoch.step(loss)
        epoch.score_loss(predict, x_test, y_test, pad=True)


if __name__ == "__main__":
    bench.main(run)
