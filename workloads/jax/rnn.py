"""GRU on IMDB reviews in JAX.

Sequences are time first, the axis lax.scan runs along. JAX has cuDNN's fused kernel for the LSTM only
(jax.experimental.rnn), so the GRU is a scan on every device.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from workloads.common import bench
from workloads.jax import runtime

MATRICES = ("gru.weight_ih", "gru.weight_hh", "fc.weight")  # (in, out) here


def gru(params, x):
    """The last state of the GRU over x, (time, batch, features) -> (batch, units)."""
    # The input's part of all gates is one matrix product for all time steps.
    x = x @ params["gru.weight_ih"] + params["gru.bias_ih"]

    def step(h, x):
        x_r, x_z, x_n = jnp.split(x, 3, axis=1)
        h_r, h_z, h_n = jnp.split(h @ params["gru.weight_hh"] + params["gru.bias_hh"], 3, axis=1)
        r = jax.nn.sigmoid(x_r + h_r)
        z = jax.nn.sigmoid(x_z + h_z)
        n = jnp.tanh(x_n + r * h_n)
        return n + z * (h - n), None

    units = len(params["gru.weight_hh"])
    last, _ = lax.scan(step, jnp.zeros((x.shape[1], units)), x)
    return last


def forward(params, tokens):
    x = params["embedding.weight"][tokens.T]
    return gru(params, x) @ params["fc.weight"] + params["fc.bias"]


def build(job):
    weights = job.weights()
    for name in MATRICES:
        weights[name] = np.ascontiguousarray(weights[name].T)
    return runtime.on_all(job, weights)


def weights_of(params):
    """The weights as they are now, under the names and in the shapes they came with."""
    return {name: array.T if name in MATRICES else array for name, array in jax.device_get(params).items()}


def run(job):
    runtime.start(job, fused=False)
    x_train, y_train, x_test, y_test = job.data()
    params = build(job)
    optimizer = optax.adam(
        job.settings["lr"], b1=job.settings["beta1"], b2=job.settings["beta2"], eps=job.settings["epsilon"]
    )
    state = params, runtime.on_all(job, optimizer.init(params))

    def loss_function(params, x, y):
        return optax.softmax_cross_entropy_with_integer_labels(forward(params, x), y).mean()

    def train_step(state, x, y):
        params, moments = state
        loss, gradients = jax.value_and_grad(loss_function)(params, x, y)
        updates, moments = optimizer.update(gradients, moments)
        return (optax.apply_updates(params, updates), moments), loss

    def synchronize():
        jax.block_until_ready(state)

    x, y = (runtime.split(job, array[: job.settings["batch"]]) for array in (x_train, y_train))
    train_step = runtime.compiled(job, train_step, state, x, y, donate=0)
    scores = runtime.compiled(job, forward, params, x)

    def predict(x):
        params, _ = state
        return scores(params, runtime.split(job, x))

    def weights():
        params, _ = state
        return weights_of(params)

    job.ready()
    for epoch in job.epochs(sync=synchronize, weights=weights):
        for x, y in epoch.batches(x_train, y_train):
            state, loss = train_step(state, runtime.split(job, x), runtime.split(job, y))
            epoch.step(loss)
        epoch.score(predict, x_test, y_test, pad=True)


if __name__ == "__main__":
    bench.main(run)
