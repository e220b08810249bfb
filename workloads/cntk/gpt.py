"""Character-level GPT on Tiny Shakespeare in CNTK.

A window is static axes, (context, width); the windows of a batch are CNTK's dynamic batch axis. CNTK multiplies many
matrices in one call along its dynamic axis only, so attention puts the heads there, too.
"""

import math

import cntk as C
import numpy as np

from workloads.cntk import runtime
from workloads.cntk.runtime import parameter
from workloads.common import bench

CHARACTERS = 65
FAR = 6.5  # beyond it, Φ is 0 or 1 in a float32


def fitted_log_odds(degree):
    """Coefficients of log(Φ(x) / Φ(-x)) / x in powers of x², from the constant up: Φ is that of gelu.

    An error in it counts for less where Φ is flat, so a sixth degree leaves 4e-8 of Φ, less than a float32 does."""
    x = np.linspace(0, FAR, 401)[1:]
    above, below = (np.array([math.erfc(sign * each / math.sqrt(2)) / 2 for each in x]) for sign in (-1, 1))
    weight = above * below * np.maximum(x, 1)
    return np.polynomial.polynomial.polyfit(x * x, np.log(above / below) / x, degree, w=weight).tolist()


LOG_ODDS = fitted_log_odds(6)


def gelu(x):
    """x · Φ(x), where Φ is the distribution function of the standard normal distribution; CNTK has no erf.

    The sum's first part is the value, and has no gradient. The second is 0, and its gradient is Φ(x) + x · Φ'(x):
    written so, it costs less than differentiating the polynomial, and is more exact."""
    value = C.stop_gradient(x)
    squared = value * value
    log_odds = LOG_ODDS[-1]
    for coefficient in LOG_ODDS[-2::-1]:
        log_odds = log_odds * squared + coefficient
    probability = C.sigmoid(value * log_odds)
    density = C.exp(-0.5 * squared - 0.5 * math.log(2 * math.pi))
    return value * probability + (x - value) * (probability + value * density)


def network(ids, weights, settings):
    """The logits (context, characters) of the windows `ids` (context,)."""
    context, heads, width = (settings[name] for name in ("context", "heads", "width"))
    shared = {name: parameter(array, name) for name, array in weights.items()}
    hidden = C.constant(np.triu(np.full((context, context), -1e30, np.float32), k=1))  # characters after the query's

    def dropout(x):  # not one C.layers.Dropout for all: it would drop the same numbers everywhere
        return C.dropout(x, settings["dropout"])

    def linear(name, x):
        return C.times_transpose(x, shared[name])

    def norm(name, x):
        centred = x - C.reduce_mean(x, axis=-1)
        return centred / C.sqrt(C.reduce_mean(C.square(centred), axis=-1) + 1e-5) * shared[name]

    # Heads go to the batch axis and come back as columns, not rows: then CNTK copies whole matrices, and not a few
    # numbers at a time.
    def split(x):
        """(width, context) -> (width / heads, context) with `heads` times as many samples."""
        return C.to_batch(C.reshape(C.unpack_batch(x), (-1, width // heads, context)))

    def join(x):
        return C.to_batch(C.reshape(C.unpack_batch(x), (-1, width, context)))

    def attention(name, x):
        qkv = C.swapaxes(linear(name + "qkv.weight", x))
        q, k, v = (split(qkv[part * width : (part + 1) * width]) for part in range(3))
        scores = C.times(C.swapaxes(q / math.sqrt(width // heads)), k) + hidden
        y = join(C.times_transpose(v, dropout(C.softmax(scores, axis=-1))))
        return linear(name + "out.weight", C.swapaxes(y))

    def perceptron(name, x):
        return linear(name + "down.weight", gelu(linear(name + "up.weight", x)))

    x = dropout(C.gather(shared["token.weight"], ids) + shared["position.weight"])
    for number in range(settings["layers"]):
        name = "blocks.{}.".format(number)
        x = x + dropout(attention(name, norm(name + "norm1.weight", x)))
        x = x + dropout(perceptron(name, norm(name + "norm2.weight", x)))
    return linear("token.weight", norm("norm.weight", x))  # tied: the token embedding, transposed


class AdamW:
    """AdamW with a schedule and clipping, as CNTK's universal learner: its own Adam has no decay apart from it.

    m ← β₁ m + (1 − β₁) g, m̂ = m / (1 − β₁ᵗ)
    v ← β₂ v + (1 − β₂) g², v̂ = v / (1 − β₂ᵗ)
    w ← w − lr · decay · w − lr · m̂ / (√v̂ + ε)"""

    def __init__(self, parameters, settings):
        self.settings = settings
        self.lr, self.unbias_m, self.unbias_v = (C.constant(0.0) for _ in range(3))  # of the next step
        self.moments = [[C.constant(0.0, shape=weight.shape) for weight in parameters] for _ in "mv"]

        def update(weights, gradients):  # not a method, for CNTK takes `self` for a third argument
            changes = zip(weights, self.clipped(gradients), *self.moments)
            return C.combine([self.change(weight, g, m, v) for weight, g, m, v in changes])

        self.learner = C.universal(update, parameters)
        self.reset()

    def reset(self):
        """Set the moments to zero, and the rates to those of step 0."""
        for moment in self.moments[0] + self.moments[1]:
            moment.value = np.zeros(moment.shape)
        self.step = -1
        self.next_step()

    def next_step(self):
        self.step += 1
        beta1, beta2 = self.settings["beta1"], self.settings["beta2"]
        self.lr.value = np.array(learning_rate(self.step, self.settings))
        self.unbias_m.value = np.array(1 / (1 - beta1 ** (self.step + 1)))
        self.unbias_v.value = np.array(1 / (1 - beta2 ** (self.step + 1)))

    def clipped(self, gradients):
        """The gradients of the mean over a batch's windows, clipped. CNTK's are those of the sum over them."""
        batch = self.settings["batch"]
        norm = C.sqrt(sum(C.reduce_sum(C.square(gradient)) for gradient in gradients)) / batch
        factor = C.element_min(1.0, self.settings["clip"] / norm) / batch
        return [gradient * factor for gradient in gradients]

    def change(self, weight, g, m, v):
        beta1, beta2 = self.settings["beta1"], self.settings["beta2"]
        decay = self.settings["weight_decay"] if len(weight.shape) > 1 else 0.0  # the gains do not decay
        m = C.assign(m, beta1 * m + (1 - beta1) * g)
        v = C.assign(v, beta2 * v + (1 - beta2) * C.square(g))
        moved = m * self.unbias_m / (C.sqrt(v * self.unbias_v) + self.settings["epsilon"])
        return C.assign(weight, weight - self.lr * (decay * weight + moved))


def learning_rate(step, settings):
    """Of step 0, 1, …: up along a line for `warmup` steps, then down along half a cosine to lr · lr_end."""
    lr, lr_end, warmup, decay_steps = (settings[name] for name in ("lr", "lr_end", "warmup", "decay_steps"))
    if step < warmup:
        return lr * (step + 1) / (warmup + 1)
    done = min(1.0, (step - warmup) / max(1, decay_steps - 1 - warmup))
    return lr * (lr_end + (1 - lr_end) * 0.5 * (1 + math.cos(math.pi * done)))


def build(job):
    context = job.settings["context"]
    x, y = C.input_variable(context), C.input_variable(context)
    model = network(x, job.weights(), job.settings)
    losses = C.cross_entropy_with_softmax(model, C.one_hot(y, CHARACTERS), axis=1)  # -1 would stand for all axes
    optimizer = AdamW(model.parameters, job.settings)
    trainer = C.Trainer(model, (C.reduce_mean(losses, axis=C.Axis.all_static_axes()), None), [optimizer.learner])
    return model, x, y, trainer, optimizer


def weights_of(model):
    """The weights as they are now, under the names they came with."""
    return {weight.name: weight.value for weight in model.parameters}


def run(job):
    runtime.start(job)
    x_train, y_train, x_test, y_test = job.windows(labels=np.float32)
    model, x, y, trainer, optimizer = build(job)

    def train_step(ids, following):
        trainer.train_minibatch({x: ids.astype(np.float32), y: following})  # CNTK's tensors hold floats only
        optimizer.next_step()

    def predict(ids):
        return model.eval(ids.astype(np.float32))

    with job.compiling():
        batch = job.settings["batch"]
        first, following = x_train[:batch].astype(np.float32), y_train[:batch].copy()
        runtime.compile_ahead(trainer, {x: first, y: following}, model, first)
        optimizer.reset()

    job.ready()
    for epoch in job.epochs(sync=lambda: runtime.synchronize(model), weights=lambda: weights_of(model)):
        for ids, following in epoch.batches(x_train, y_train):
            train_step(ids, following)
            epoch.step(lambda: trainer.previous_minibatch_loss_average)
        epoch.score_loss(predict, x_test, y_test)


if __name__ == "__main__":
    bench.main(run)
