"""GRU on IMDB reviews in CNTK.

On a GPU it is cuDNN's fused kernel. On a CPU the cell is written out, for CNTK's own layers.GRU applies the reset gate
before the matrix product, and CNTK runs the recurrence over the sequence axis.
"""

import cntk as C
import numpy as np

from workloads.cntk import runtime
from workloads.cntk.runtime import parameter
from workloads.common import bench

UNITS, CLASSES = 100, 2


def fused_gru(x, weights):
    """The hidden states of cuDNN's GRU over the sequence `x`."""
    # cuDNN wants one block: the six matrices (out, in), then the six biases, each time gates r, z, n.
    names = ("gru.weight_ih", "gru.weight_hh", "gru.bias_ih", "gru.bias_hh")
    block = np.concatenate([weights[name].ravel() for name in names])
    return C.optimized_rnnstack(x, parameter(block), UNITS, num_layers=1, recurrent_op="gru")


def gru(x, weights):
    """The same, as a recurrence."""
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


def network(tokens, weights, fused):
    # A dense table: CNTK's Adam cannot take the sparse gradients of layers.Embedding on a CPU.
    x = C.gather(parameter(weights["embedding.weight"]), tokens)
    last = C.sequence.last(fused_gru(x, weights) if fused else gru(x, weights))
    return C.times(last, parameter(weights["fc.weight"].T)) + parameter(weights["fc.bias"])


def build(job, fused):
    settings = job.settings
    x, y = C.sequence.input_variable(()), C.input_variable(())
    model = network(x, job.weights(), fused)
    loss = C.cross_entropy_with_softmax(model, C.one_hot(y, CLASSES))
    learner = C.adam(
        model.parameters,
        lr=C.learning_parameter_schedule(settings["lr"]),
        momentum=C.momentum_schedule(settings["beta1"]),
        variance_momentum=C.momentum_schedule(settings["beta2"]),
        epsilon=settings["epsilon"],
        minibatch_size=C.learners.IGNORE,  # lr and momenta apply to the mean gradient of a batch
    )
    return model, x, y, C.Trainer(model, (loss, None), [learner])


def run(job):
    fused = job.device == "gpu"
    runtime.start(job, fused=fused, notes=["Adam adds epsilon before the bias correction"])
    x_train, y_train, x_test, y_test = job.data(labels=np.float32)
    x_train, x_test = x_train.astype(np.float32), x_test.astype(np.float32)  # CNTK's tensors hold floats only
    model, x, y, trainer = build(job, fused)
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
