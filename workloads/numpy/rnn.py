"""GRU on IMDB reviews in NumPy.

Sequences are time first, (time, batch, numbers), so that one step of the whole batch is contiguous.
"""

import numpy as np

from workloads.common import bench
from workloads.numpy import runtime
from workloads.numpy.layers import Dense, Layer, backward, forward, softmax_cross_entropy

AT_A_TIME = 2**15  # numbers that Adam updates: few enough for all its intermediate results to stay in the cache


class Embedding(Layer):
    """Row `token` of the weight for every token: (time, batch) -> (time, batch, embedding)."""

    def __init__(self, weight):
        self.parameters = [weight]

    def forward(self, tokens):
        self.tokens = tokens
        return self.parameters[0][tokens]

    def backward(self, dy):
        """dw[token] is the sum of all dy where the token stands."""
        weight = self.parameters[0]
        width = weight.shape[1]
        dw = np.zeros(weight.size, weight.dtype)
        places = self.tokens.reshape(-1, 1) * width + np.arange(width)
        np.add.at(dw, places.ravel(), dy.ravel())  # number by number, not row by row: that way NumPy is fast
        self.gradients = [dw.reshape(weight.shape)]


class Gru(Layer):
    """A gated recurrent unit, in the form of cuDNN: (time, batch, inputs) -> the last h, (batch, units).

    r  = σ(W_r x + b_r + U_r h + c_r)          reset: how much of the past the candidate sees
    z  = σ(W_z x + b_z + U_z h + c_z)          update: how much of the past is kept
    n  = tanh(W_n x + b_n + r ∘ (U_n h + c_n)) candidate
    h' = (1 − z) ∘ n + z ∘ h                   h starts at zero

    W, U, b, c hold the three stacked in the order r, z, n: (3 · units, inputs), (3 · units, units), (3 · units,)."""

    def __init__(self, weight_ih, weight_hh, bias_ih, bias_hh):
        self.parameters = [weight_ih, weight_hh, bias_ih, bias_hh]

    def forward(self, x):
        W, U, b, c = self.parameters
        steps, batch, _ = x.shape
        units = U.shape[1]
        self.x = x
        self.h = np.zeros((steps + 1, batch, units), x.dtype)  # h[t] goes into step t
        self.past = np.empty((steps, batch, units), x.dtype)  # U_n h + c_n
        # W x + b of all steps is one matrix product; each step then turns its part into r, z, n.
        self.gates = (x.reshape(steps * batch, -1) @ W.T).reshape(steps, batch, -1)
        self.gates += b
        r, z, n = np.split(self.gates, 3, axis=2)
        rz = self.gates[:, :, : 2 * units]
        for t in range(steps):
            h = self.h[t]
            recurrent = h @ U.T
            recurrent += c
            rz[t] += recurrent[:, : 2 * units]
            sigmoid(rz[t])
            self.past[t] = recurrent[:, 2 * units :]
            n[t] += r[t] * self.past[t]
            np.tanh(n[t], out=n[t])
            self.h[t + 1] = n[t] + z[t] * (h - n[t])
        return self.h[-1]

    def backward(self, dh):
        """Back through time: from dL/dh of the last step to dL/dx of every step."""
        W, U, _, _ = self.parameters
        steps, batch, units = self.past.shape
        r, z, n = np.split(self.gates, 3, axis=2)
        # What one unit of dh does to each sum inside σ and tanh depends on forward values only: all steps at once.
        to_n = (1 - z) * (1 - n * n)
        to_z = (self.h[:-1] - n) * z * (1 - z)
        n_to_r = self.past * r * (1 - r)
        dinput = np.empty_like(self.gates)  # dL/d(W x + b)
        drecurrent = np.empty_like(self.gates)  # dL/d(U h + c)
        dr, dz, dn = np.split(dinput, 3, axis=2)
        dpast = drecurrent[:, :, 2 * units :]
        for t in reversed(range(steps)):
            np.multiply(dh, to_n[t], out=dn[t])
            np.multiply(dh, to_z[t], out=dz[t])
            np.multiply(dn[t], n_to_r[t], out=dr[t])
            drecurrent[t, :, : 2 * units] = dinput[t, :, : 2 * units]
            np.multiply(dn[t], r[t], out=dpast[t])
            dh = dh * z[t] + drecurrent[t] @ U
        dinput, drecurrent = dinput.reshape(steps * batch, -1), drecurrent.reshape(steps * batch, -1)
        self.gradients = [
            dinput.T @ self.x.reshape(steps * batch, -1),
            drecurrent.T @ self.h[:-1].reshape(steps * batch, -1),
            dinput.sum(axis=0),
            drecurrent.sum(axis=0),
        ]
        return (dinput @ W).reshape(self.x.shape)


def sigmoid(x):
    """σ(x) = 1 / (1 + e⁻ˣ) in place, as (1 + tanh(x/2)) / 2, which cannot overflow."""
    x *= 0.5
    np.tanh(x, out=x)
    x *= 0.5
    x += 0.5


class Adam:
    """Running means of g and g², corrected for having started at zero, give every weight a pace of its own.

    m ← β₁ m + (1 − β₁) g, m̂ = m / (1 − β₁ᵗ)
    v ← β₂ v + (1 − β₂) g², v̂ = v / (1 − β₂ᵗ)
    w ← w − lr · m̂ / (√v̂ + ε)

    Every weight moves at every step, an absent token's too: its moments are not zero."""

    def __init__(self, layers, lr, beta1, beta2, epsilon):
        self.layers = layers
        self.lr, self.beta1, self.beta2, self.epsilon = lr, beta1, beta2, epsilon
        self.moments = [(np.zeros_like(w), np.zeros_like(w)) for layer in layers for w in layer.parameters]
        self.t = 0

    def step(self):
        self.t += 1
        weights = [w for layer in self.layers for w in layer.parameters]
        gradients = [g for layer in self.layers for g in layer.gradients]
        for w, g, (m, v) in zip(weights, gradients, self.moments):
            rows = max(1, AT_A_TIME // w[0].size)
            for first in range(0, len(w), rows):
                part = slice(first, first + rows)
                self.update(w[part], g[part], m[part], v[part])

    def update(self, w, g, m, v):
        m *= self.beta1
        m += (1 - self.beta1) * g
        v *= self.beta2
        v += (1 - self.beta2) * g * g
        unbiased_m = m / (1 - self.beta1**self.t)
        unbiased_v = v / (1 - self.beta2**self.t)
        w -= self.lr * unbiased_m / (np.sqrt(unbiased_v) + self.epsilon)


def build(job, dtype):
    w = {name: array.astype(dtype) for name, array in job.weights().items()}
    return [
        Embedding(w["embedding.weight"]),
        Gru(w["gru.weight_ih"], w["gru.weight_hh"], w["gru.bias_ih"], w["gru.bias_hh"]),
        Dense(w["fc.weight"], w["fc.bias"]),
    ]


def weights_of(model):
    """The weights as they are now, under the names they came with."""
    embedding, gru, fc = model
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    return {
        "embedding.weight": embedding.parameters[0],
        **{"gru." + name: array for name, array in zip(names, gru.parameters)},
        "fc.weight": fc.parameters[0],
        "fc.bias": fc.parameters[1],
    }


def run(job):
    dtype = runtime.start(job, fused=False)
    x_train, y_train, x_test, y_test = job.data()
    model = build(job, dtype)
    optimizer = Adam(
        model,
        lr=job.settings["lr"],
        beta1=job.settings["beta1"],
        beta2=job.settings["beta2"],
        epsilon=job.settings["epsilon"],
    )

    def train_step(x, y):
        loss, dscores = softmax_cross_entropy(forward(model, x.T), y)
        backward(model, dscores)
        optimizer.step()
        return loss

    def predict(x):
        return forward(model, x.T)

    job.ready()
    for epoch in job.epochs(sync=runtime.synchronize, weights=lambda: weights_of(model)):
        for x, y in epoch.batches(x_train, y_train):
            epoch.step(train_step(x, y))
        epoch.score(predict, x_test, y_test)


if __name__ == "__main__":
    bench.main(run)
