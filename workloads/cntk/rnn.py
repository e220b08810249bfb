"""GRU on IMDB reviews in CNTK.

CNTK's own layers.GRU applies the reset gate before the matrix product, and its fused recurrent kernels know no GRU of
that form on a CPU, so the cell is written out; CNTK runs the recurrence over the sequence axis.
"""

import cntk as C
import numpy as np

from workloads.cntk import runtime
from workloads.cntk.runtime import parameter
from workloads.common import bench

VOCABULARY, UNITS, CLASSES = 30000, 100, 2


def gru(x, weights):
    """The hidden states of a GRU in cuDNN's form over the sequence `x`."""
    w, b = parameter(weights["gru.weight_ih"].T), parameter(weights["gru.bias_ih"])
    u, c = parameter(weights["gru.weight_hh"].T), parameter(weights["gru.bias_hh"])
    inputs = C.times(x, w) + b  # of all time steps in one matrix product

    @C.Function
    def step(h, inputs):
        hidden = C.times(h, u) + c
        gates = C.sigmoid(inputs[: 2 * UNITS] + hidden[: 2 * UNITS])
        r, z = gates[:UNITS], gates[UNITS:]
        n = C.tanh(inputs[2 * UNITS :] + r * hidden[2 * UNITS :])
        return n + z * (h - n)

    return C.layers.Recurrence(step)(inputs)


def network(tokens, weights):
    # A dense table: CNTK's Adam cannot take the sparse gradients of layers.Embedding on a CPU.
    embedding = parameter(weights["embedding.weight"])
    last = C.sequence.last(gru(C.gather(embedding, tokens), weights))
    return C.times(last, parameter(weights["fc.weight"].T)) + parameter(weights["fc.bias"])


def build(job):
    settings = job.settings
    x, y = C.sequence.input_variable(()), C.input_variable(())
    model = network(x, job.weights())
    loss = C.cross_entropy_with_softmax(model, C.one_hot(y, CLASSES))
    learner = C.adam(
        model.parameters,
        lr=C.learning_parameter_schedule(settings["lr"]),
        momentum=C.momentum_schedule(settings["beta1"]),
        variance_momentum=C.momentum_schedule(settings["beta2"]),
        epsilon=settings["epsilon"],
        unit_gain=True,
        minibatch_size=C.learners.IGNORE,  # meant for the mean gradient of a batch, whatever its size
    )
    return model, x, y, C.Trainer(model, (loss, None), [learner])


def run(job):
    runtime.start(job, fused=False)
    x_train, y_train, x_test, y_test = job.data(labels=np.float32)
    x_train, x_test = x_train.astype(np.float32), x_test.astype(np.float32)  # CNTK's tensors hold floats only
    model, x, y, trainer = build(job)
    batch = job.settings["batch"]
    with job.compiling():
        runtime.compile_ahead(trainer, {x: x_train[:batch], y: y_train[:batch]}, model, x_train[:batch])

    job.ready()
    for epoch in job.epochs(sync=lambda: runtime.synchronize(model)):
        for tokens, labels in epoch.batches(x_train, y_train):
            trainer.train_minibatch({x: tokens, y: labels})
            epoch.step(lambda: trainer.previous_minibatch_loss_average)
    job.score(model.eval, x_test, y_test)


if __name__ == "__main__":
    bench.main(run)
