"""GRU on IMDB reviews in tinygrad.

A step of time is a program of its own, compiled once and run for every step, forward and then backward: unrolled, 150
steps and their gradients would be thousands of kernels to compile. Which step it is goes in as a variable. What the
steps hand to each other lies in tensors with a row for each, so that the gradients of the weights are products over all
steps at once. USE_ATOMICS is tinygrad's switch for an embedding whose gradient takes time for the tokens of the batch,
not for every pair of such a token and a word of the vocabulary.
"""

import numpy as np
from tinygrad import Context, Tensor, TinyJit, Variable, nn

from workloads.common import bench
from workloads.tinygrad import runtime

VOCABULARY, EMBEDDING, UNITS, CLASSES = 30000, 125, 100, 2


class Gru:
    """The weights of a GRU with one layer."""

    def __init__(self):
        self.weight_ih = Tensor.empty(3 * UNITS, EMBEDDING)
        self.weight_hh = Tensor.empty(3 * UNITS, UNITS)
        self.bias_ih = Tensor.empty(3 * UNITS)
        self.bias_hh = Tensor.empty(3 * UNITS)


class Rnn:
    def __init__(self):
        self.embedding = nn.Embedding(VOCABULARY, EMBEDDING)
        self.gru = Gru()
        self.fc = nn.Linear(UNITS, CLASSES)

    def inputs(self, tokens):
        """What the inputs of all steps give to the gates, (steps, batch, 300), of token ids (batch, steps)."""
        return self.embedding(tokens.T).linear(self.gru.weight_ih.T, self.gru.bias_ih)

    def recurrent(self, h):
        """What the state gives to the gates."""
        return h.linear(self.gru.weight_hh.T, self.gru.bias_hh)


def cell(gates_x, gates_h, h):
    """The next state."""
    (rx, zx, nx), (rh, zh, nh) = gates_x.chunk(3, -1), gates_h.chunk(3, -1)
    r, z = (rx + rh).sigmoid(), (zx + zh).sigmoid()
    n = (nx + r * nh).tanh()
    return (1 - z) * n + z * h


class Recurrence:
    """The GRU over all steps of one batch. Each tensor has a row for each step."""

    def __init__(self, model, steps, batch, devices):
        def rows(count, width):
            return runtime.split(np.zeros((count, batch, width), np.float32), devices, axis=1)

        self.model, self.steps = model, steps
        self.number = Variable("step", 0, steps - 1)
        self.h = rows(steps + 1, UNITS)  # the states: one before the first step, which stays zero, and one after each
        self.gates_h = rows(steps, 3 * UNITS)
        self.d_gates_x, self.d_gates_h = rows(steps, 3 * UNITS), rows(steps, 3 * UNITS)
        self.dh = runtime.split(np.zeros((batch, UNITS), np.float32), devices)

    @TinyJit
    def step(self, gates_x, t):
        self.gates_h[t].assign(self.model.recurrent(self.h[t])).realize()
        self.h[t + 1].assign(cell(gates_x[t], self.gates_h[t], self.h[t])).realize()

    @TinyJit
    def step_back(self, gates_x, t):
        parts = gates_x[t], self.gates_h[t], self.h[t]
        d_gates_x, d_gates_h, dh = cell(*parts).gradient(*parts, gradient=self.dh)
        self.d_gates_x[t].assign(d_gates_x).realize()
        self.d_gates_h[t].assign(d_gates_h).realize()
        self.dh.assign(dh + self.d_gates_h[t] @ self.model.gru.weight_hh).realize()

    def forward(self, gates_x):
        """From the first step to the last: fills `h`."""
        for number in range(self.steps):
            self.step(gates_x, self.number.bind(number))

    def backward(self, gates_x):
        """From the last step to the first, where `dh` is the gradient of the last state: fills those of the gates."""
        for number in reversed(range(self.steps)):
            self.step_back(gates_x, self.number.bind(number))


def programs(model, recurrence, optimizer):
    """A training step and a prediction, as functions of batches."""

    @TinyJit
    @Context(USE_ATOMICS=1)
    def inputs(tokens):
        return model.inputs(tokens).realize()

    @TinyJit
    def scores():
        return model.fc(recurrence.h[recurrence.steps]).realize()

    @TinyJit
    def loss_and_gradient(y):
        h, fc = recurrence.h[recurrence.steps], model.fc
        loss = fc(h).sparse_categorical_crossentropy(y)
        dh, fc.weight.grad, fc.bias.grad = loss.gradient(h, fc.weight, fc.bias)
        return loss.realize(recurrence.dh.assign(dh), fc.weight.grad, fc.bias.grad)

    @TinyJit
    @Context(USE_ATOMICS=1, TRAINING=1)
    def update(tokens):
        gru, embedding = model.gru, model.embedding
        weights = embedding.weight, gru.weight_ih, gru.bias_ih
        embedding.weight.grad, gru.weight_ih.grad, gru.bias_ih.grad = model.inputs(tokens).gradient(
            *weights, gradient=recurrence.d_gates_x
        )
        gru.weight_hh.grad, gru.bias_hh.grad = model.recurrent(recurrence.h[:-1]).gradient(
            gru.weight_hh, gru.bias_hh, gradient=recurrence.d_gates_h
        )
        optimizer.step()

    def train(tokens, y):
        gates_x = inputs(tokens)
        recurrence.forward(gates_x)
        loss = loss_and_gradient(y)
        recurrence.backward(gates_x)
        update(tokens)
        return loss

    def predict(tokens):
        recurrence.forward(inputs(tokens))
        return scores()

    return train, predict


def build(job, devices):
    return runtime.loaded(Rnn(), job.weights(), devices)


def run(job):
    devices = runtime.start(job, fused=False)
    x_train, y_train, x_test, y_test = job.data()
    model = build(job, devices)
    options = {"b1": job.settings["beta1"], "b2": job.settings["beta2"], "eps": job.settings["epsilon"]}
    optimizer = nn.optim.Adam(nn.state.get_parameters(model), lr=job.settings["lr"], **options)
    recurrence = Recurrence(model, x_train.shape[1], job.settings["batch"], devices)
    train_step, scores = programs(model, recurrence, optimizer)

    def train(x, y):
        return train_step(runtime.split(x, devices), runtime.split(y, devices))

    def predict(x):
        return scores(runtime.split(x, devices)).numpy()

    with job.compiling():
        x, y = x_train[: job.settings["batch"]], y_train[: job.settings["batch"]]
        runtime.rehearse(model, optimizer, lambda: (train(x, y), predict(x)))
    job.ready()
    for epoch in job.epochs(sync=lambda: runtime.synchronize(devices), weights=lambda: runtime.weights_of(model)):
        for x, y in epoch.batches(x_train, y_train):
            epoch.step(train(x, y).item)
        epoch.score(predict, x_test, y_test, pad=True)


if __name__ == "__main__":
    bench.main(run)
