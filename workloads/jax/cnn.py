"""CNN on CIFAR-10 in JAX.

Tensors are channels last. Parameters, the optimiser's state and the key of the random numbers go into a training step
and come out of it; their memory is donated, so that XLA updates them in place.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from workloads.common import bench
from workloads.jax import runtime

# On a CPU XLA leaves convolutions to YNNPACK, whose gradients of kernels take twice as long as Eigen's.
XLA_FLAGS = "--xla_cpu_experimental_ynn_fusion_type=-individual_convolution"
NOTE = "YNNPACK is switched off for convolutions: XLA uses Eigen's"
FLATTENED = (512, 100, 8, 8)  # fc1's weight, its columns as what they multiply: C, H, W


def conv(params, name, x):
    x = lax.conv_general_dilated(
        x, params[name + ".weight"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return x + params[name + ".bias"]


def dense(params, name, x):
    return x @ params[name + ".weight"] + params[name + ".bias"]


def max_pool(x):
    """Maximum over 2x2 windows. On a CPU, lax.reduce_window's gradient writes down every position in between."""
    x = jnp.maximum(x[:, 0::2], x[:, 1::2])
    return jnp.maximum(x[:, :, 0::2], x[:, :, 1::2])


def dropout(x, rate, key):
    """Zero numbers with probability `rate` and scale the others up. Without a key, or at rate 0, x as it is."""
    if key is None or rate == 0:
        return x
    return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0)


def forward(params, x, dropout_conv=0, dropout_dense=0, key=None):
    """Scores of the ten classes. Drops out only if there is a key."""
    keys = [None] * 3 if key is None else jax.random.split(key, 3)
    x = jax.nn.relu(conv(params, "conv1", x))
    x = jax.nn.relu(max_pool(conv(params, "conv2", x)))
    x = dropout(x, dropout_conv, keys[0])
    x = jax.nn.relu(conv(params, "conv3", x))
    x = jax.nn.relu(max_pool(conv(params, "conv4", x)))
    x = dropout(x, dropout_conv, keys[1])
    x = jax.nn.relu(dense(params, "fc1", x.reshape(len(x), -1)))
    return dense(params, "fc2", dropout(x, dropout_dense, keys[2]))


def build(job):
    weights = job.weights()
    # The inputs of fc1 arrive in H, W, C order.
    weights["fc1.weight"] = weights["fc1.weight"].reshape(FLATTENED).transpose(0, 2, 3, 1).reshape(512, 6400)
    for name, array in weights.items():
        weights[name] = np.ascontiguousarray(array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T)
    return runtime.on_all(job, weights)


def weights_of(params):
    """The weights as they are now, under the names and in the shapes they came with."""
    weights = {}
    for name, array in jax.device_get(params).items():
        weights[name] = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
    n, c, h, w = FLATTENED
    weights["fc1.weight"] = weights["fc1.weight"].reshape(n, h, w, c).transpose(0, 3, 1, 2).reshape(n, -1)
    return weights


def run(job):
    cpu = job.device == "cpu"
    runtime.start(job, xla_flags=XLA_FLAGS if cpu else "", notes=[NOTE] if cpu else [])
    x_train, y_train, x_test, y_test = job.data(layout="NHWC")
    params = build(job)
    optimizer = optax.sgd(job.settings["lr"], momentum=job.settings["momentum"])
    key = runtime.on_all(job, jax.random.key(job.seed, impl="rbg"))  # the fast generator
    state = params, runtime.on_all(job, optimizer.init(params)), key

    def loss_function(params, x, y, key):
        logits = forward(params, x, job.settings["dropout_conv"], job.settings["dropout_dense"], key)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    def train_step(state, x, y):
        params, moments, key = state
        key, dropout_key = jax.random.split(key)
        loss, gradients = jax.value_and_grad(loss_function)(params, x, y, dropout_key)
        updates, moments = optimizer.update(gradients, moments)
        return (optax.apply_updates(params, updates), moments, key), loss

    def synchronize():
        jax.block_until_ready(state)

    x, y = (runtime.split(job, array[: job.settings["batch"]]) for array in (x_train, y_train))
    train_step = runtime.compiled(job, train_step, state, x, y, donate=0)
    scores = runtime.compiled(job, forward, params, x)

    def predict(x):
        params, _, _ = state
        return scores(params, runtime.split(job, x))

    def weights():
        params, _, _ = state
        return weights_of(params)

    job.ready()
    for epoch in job.epochs(sync=synchronize, weights=weights):
        for x, y in epoch.batches(x_train, y_train):
            state, loss = train_step(state, runtime.split(job, x), runtime.split(job, y))
            epoch.step(loss)
        epoch.score(predict, x_test, y_test, pad=True)


if __name__ == "__main__":
    bench.main(run)
