"""Character-level GPT on Tiny Shakespeare in NumPy.

Between layers, activations are matrices with a row for each character of the batch, (batch · context, width), so that
all linear layers are single matrix products. Only attention knows which characters share a window.
"""

import math

import numpy as np

from workloads.common import bench
from workloads.numpy import runtime
from workloads.numpy.layers import Dropout, Layer, backward, forward, softmax_cross_entropy

EPSILON = 1e-5  # of LayerNorm


class Embedding(Layer):
    """For every character the sum of two rows: one for which character it is, one for its place in the window."""

    def __init__(self, token, position):
        self.parameters = [token, position]

    def forward(self, ids):
        token, position = self.parameters
        self.ids = ids
        return (token[ids] + position).reshape(ids.size, -1)

    def backward(self, dy):
        """dtoken[i] is the sum of all dy where i stands, as a matrix product with the one-hot characters."""
        token, _ = self.parameters
        one_hot = (np.arange(len(token))[:, None] == self.ids.ravel()).astype(dy.dtype)
        self.gradients = [one_hot @ dy, dy.reshape((*self.ids.shape, -1)).sum(axis=0)]


class Linear(Layer):
    """x · Wᵀ, without a bias: (n, in) -> (n, out), W of shape (out, in)."""

    def __init__(self, weight):
        self.parameters = [weight]

    def forward(self, x):
        self.x = x
        return x @ self.parameters[0].T

    def backward(self, dy):
        self.gradients = [dy.T @ self.x]
        return dy @ self.parameters[0]


class LayerNorm(Layer):
    """Every row is brought to mean 0 and variance 1, then each column multiplied by its gain."""

    def __init__(self, gain):
        self.parameters = [gain]

    def forward(self, x):
        centred = x - x.mean(axis=1, keepdims=True)
        self.scale = 1 / np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + x.dtype.type(EPSILON))
        self.normal = centred * self.scale
        return self.normal * self.parameters[0]

    def backward(self, dy):
        """A row's mean and its component along itself cannot change what comes out: they are taken from dx."""
        self.gradients = [(dy * self.normal).sum(axis=0)]
        dnormal = dy * self.parameters[0]
        along = (dnormal * self.normal).mean(axis=1, keepdims=True)
        return (dnormal - dnormal.mean(axis=1, keepdims=True) - self.normal * along) * self.scale


class Attention(Layer):
    """Causal attention of several heads: queries, keys and values (n, 3 · width) -> (n, width).

    A row holds the query, then the key, then the value of a character. Each of them is cut into equal parts, one for
    each head: head h has the columns from h · width / heads on. A character sees itself and those before it."""

    def __init__(self, context, heads, dropout):
        self.context, self.heads, self.dropout = context, heads, dropout

    def forward(self, qkv):
        q, k, v = self.q, self.k, self.v = self.split(qkv)
        scores = q @ k.swapaxes(-1, -2) * qkv.dtype.type(self.scale(q.shape[-1]))
        scores[..., self.hidden(self.context)] = -np.inf
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        self.weights = scores
        self.kept = forward(self.dropout, scores)
        return self.join(self.kept @ v)

    def backward(self, dy):
        dy = dy.reshape(-1, self.context, self.heads, self.v.shape[-1]).transpose(0, 2, 1, 3)
        dv = self.kept.swapaxes(-1, -2) @ dy
        dweights = backward(self.dropout, dy @ self.v.swapaxes(-1, -2))
        # Through softmax: ds = p ∘ (dp − Σ dp ∘ p). Hidden scores have p = 0, and so no gradient.
        dscores = self.weights * (dweights - (dweights * self.weights).sum(axis=-1, keepdims=True))
        dscores *= dy.dtype.type(self.scale(self.q.shape[-1]))
        dq, dk = dscores @ self.k, dscores.swapaxes(-1, -2) @ self.q
        return np.concatenate([self.join(each) for each in (dq, dk, dv)], axis=1)

    def split(self, qkv):
        """(n, 3 · width) -> q, k and v, each (batch, heads, context, width / heads)."""
        parts = qkv.reshape(-1, self.context, 3, self.heads, qkv.shape[1] // (3 * self.heads))
        return parts.transpose(2, 0, 3, 1, 4)

    def join(self, y):
        """(batch, heads, context, width / heads) -> (n, width)."""
        return y.transpose(0, 2, 1, 3).reshape(-1, self.heads * y.shape[-1])

    def scale(self, size):
        return 1 / math.sqrt(size)

    def hidden(self, context):
        """Which keys a query does not see: those after it."""
        return np.triu(np.ones((context, context), bool), k=1)


class Gelu(Layer):
    """x · Φ(x), where Φ is the distribution function of the standard normal distribution."""

    def forward(self, x):
        self.x = x
        self.probability, self.density = normal_distribution(x)
        return x * self.probability

    def backward(self, dy):
        return dy * (self.probability + self.x * self.density)


def fitted_tail(degree):
    """Chebyshev coefficients of erfc(z) · exp(z²) for 0 ≤ z ≤ 10, in the variable u(z) = (2 - z) / (2 + z).

    It is a smooth function of u, from 1 at u = 1 down to 0.06: few coefficients give all digits of a float64."""

    def tail(u):
        z = np.maximum(2 * (1 - u) / (1 + u), 0)
        return np.array([math.erfc(each) * math.exp(each * each) for each in z])

    return np.polynomial.chebyshev.chebinterpolate(lambda s: tail(FARTHEST + (1 - FARTHEST) * (s + 1) / 2), degree)


FARTHEST = (2 - 10.0) / (2 + 10.0)  # u(10); erfc(10) is 2e-45
TAIL = {np.dtype(np.float32): fitted_tail(10).astype(np.float32), np.dtype(np.float64): fitted_tail(30)}


def normal_distribution(x):
    """Φ(x) and its derivative, the density: Φ(-|x|) = erfc(|x| / √2) / 2, and NumPy has no erfc."""
    bell = np.exp(-0.5 * x * x)
    z = np.minimum(np.abs(x) * x.dtype.type(math.sqrt(0.5)), 10)
    u = (2 - z) / (2 + z)
    tail = np.polynomial.chebyshev.chebval((u - FARTHEST) * (2 / (1 - FARTHEST)) - 1, TAIL[x.dtype])
    tail *= 0.5 * bell
    return np.where(x < 0, tail, 1 - tail), bell * x.dtype.type(1 / math.sqrt(2 * math.pi))


class Gpt:
    """The model: a stream of rows, to which every branch adds what it computes from the normalised stream."""

    def __init__(self, weights, settings, rate, generator):
        dropout = [Dropout(rate, generator)] if rate else []
        self.layers = {}  # by the name of their weight

        def add(kind, name):
            self.layers[name] = kind(weights[name])
            return self.layers[name]

        self.embedding = Embedding(weights["token.weight"], weights["position.weight"])
        self.dropout = dropout
        self.branches = []
        for number in range(settings["layers"]):
            block = "blocks.{}.".format(number)
            attention_dropout, out_dropout, down_dropout = ([Dropout(rate, generator)] if rate else [] for _ in "aod")
            self.branches.append(
                [
                    add(LayerNorm, block + "norm1.weight"),
                    add(Linear, block + "qkv.weight"),
                    Attention(settings["context"], settings["heads"], attention_dropout),
                    add(Linear, block + "out.weight"),
                    *out_dropout,
                ]
            )
            self.branches.append(
                [
                    add(LayerNorm, block + "norm2.weight"),
                    add(Linear, block + "up.weight"),
                    Gelu(),
                    add(Linear, block + "down.weight"),
                    *down_dropout,
                ]
            )
        self.norm = add(LayerNorm, "norm.weight")
        self.head = Linear(weights["token.weight"])  # the token embedding once more: the two are tied

    def forward(self, ids):
        """Character ids (batch, context) -> logits (batch · context, characters)."""
        x = forward(self.dropout, self.embedding.forward(ids))
        for branch in self.branches:
            x = x + forward(branch, x)
        return self.head.forward(self.norm.forward(x))

    def backward(self, dlogits):
        dx = self.norm.backward(self.head.backward(dlogits))
        for branch in reversed(self.branches):
            dx = dx + backward(branch, dx)
        self.embedding.backward(backward(self.dropout, dx))

    def parameters(self):
        """The weights, under the names they came with."""
        token, position = self.embedding.parameters
        named = {name: layer.parameters[0] for name, layer in self.layers.items()}
        return {"token.weight": token, "position.weight": position, **named}

    def gradients(self):
        """dL/dw of every weight after `backward`. The token embedding has one as the first layer, one as the last."""
        dtoken, dposition = self.embedding.gradients
        named = {name: layer.gradients[0] for name, layer in self.layers.items()}
        return {"token.weight": dtoken + self.head.gradients[0], "position.weight": dposition, **named}


class AdamW:
    """Adam with bias correction, and weight decay apart from it: matrices shrink by lr · decay, gains do not.

    m ← β₁ m + (1 − β₁) g, m̂ = m / (1 − β₁ᵗ)
    v ← β₂ v + (1 − β₂) g², v̂ = v / (1 − β₂ᵗ)
    w ← w − lr · decay · w − lr · m̂ / (√v̂ + ε)"""

    def __init__(self, weights, beta1, beta2, epsilon, decay):
        self.weights = weights
        self.beta1, self.beta2, self.epsilon, self.decay = beta1, beta2, epsilon, decay
        self.moments = {name: (np.zeros_like(w), np.zeros_like(w)) for name, w in weights.items()}
        self.t = 0

    def step(self, gradients, lr):
        self.t += 1
        for name, w in self.weights.items():
            self.update(w, gradients[name], self.moments[name], lr, self.decay if w.ndim > 1 else 0.0)

    def update(self, w, g, moments, lr, decay):
        m, v = moments
        m *= self.beta1
        m += (1 - self.beta1) * g
        v *= self.beta2
        v += (1 - self.beta2) * g * g
        unbiased_m = m / (1 - self.beta1**self.t)
        unbiased_v = v / (1 - self.beta2**self.t)
        w *= 1 - lr * decay
        w -= lr * unbiased_m / (np.sqrt(unbiased_v) + self.epsilon)


def clipped(gradients, largest):
    """The gradients, made smaller by one factor for all where their norm, over all weights together, is too large."""
    norm = math.sqrt(sum(float(np.vdot(g, g)) for g in gradients.values()))
    factor = min(1.0, largest / norm)
    return {name: g * g.dtype.type(factor) for name, g in gradients.items()}


def learning_rate(step, lr, lr_end, warmup, decay_steps):
    """Of step 0, 1, …: up along a line for `warmup` steps, then down along half a cosine to lr · lr_end."""
    if step < warmup:
        return lr * (step + 1) / (warmup + 1)
    done = min(1.0, (step - warmup) / max(1, decay_steps - 1 - warmup))
    return lr * (lr_end + (1 - lr_end) * 0.5 * (1 + math.cos(math.pi * done)))


def build(job, dtype):
    """The model that is trained, and one with the same weights but without dropout, which is scored."""
    weights = {name: array.astype(dtype) for name, array in job.weights().items()}
    generator = np.random.default_rng(job.seed)
    trained = Gpt(weights, job.settings, job.settings["dropout"], generator)
    return trained, Gpt(weights, job.settings, 0.0, generator)


def schedule(settings):
    return {name: settings[name] for name in ("lr", "lr_end", "warmup", "decay_steps")}


def run(job):
    dtype = runtime.start(job)
    x_train, y_train, x_test, y_test = job.windows()
    model, scored = build(job, dtype)
    optimizer = AdamW(
        model.parameters(),
        beta1=job.settings["beta1"],
        beta2=job.settings["beta2"],
        epsilon=job.settings["epsilon"],
        decay=job.settings["weight_decay"],
    )

    def train_step(x, y):
        loss, dlogits = softmax_cross_entropy(model.forward(x), y.ravel())
        model.backward(dlogits)
        lr = learning_rate(optimizer.t, **schedule(job.settings))
        optimizer.step(clipped(model.gradients(), job.settings["clip"]), lr)
        return loss

    def predict(x):
        return scored.forward(x).reshape((*x.shape, -1))

    job.ready()
    for epoch in job.epochs(sync=runtime.synchronize, weights=model.parameters):
        for x, y in epoch.batches(x_train, y_train):
            epoch.step(train_step(x, y))
        epoch.score_loss(predict, x_test, y_test)


if __name__ == "__main__":
    bench.main(run)
