"""GRU on IMDB reviews in CNTK.

On a GPU it is cuDNN's fused kernel. On a CPU the cell is written out, for CNTK's own layers.GRU applies the reset gate
before the matrix product, and CNTK runs the recurrence over the sequence axis.
"""

import cntk as C
import numpy as np

from workloads.cntk import runtime
from workloads.cntk.runtime import parameter
from workloads.common import bench

EMBEDDING, UNITS, CLASSES = 125, 100, 2
GRU = {  # name and shape of the weights, in cuDNN's order; each holds the gates r, z, n
    "gru.weight_ih": (3 * UNITS, EMBEDDING),
    "gru.weight_hh": (3 * UNITS, UNITS),
    "gru.bias_ih": (3 * UNITS,),
    "gru.bias_hh": (3 * UNITS,),
}


def fused_gru(x, weights):
    """The hidden states of cuDNN's GRU over the sequence `x`."""
    # cuDNN wants one block: the six matrices (out, in), then the six biases.
    block = np.concatenate([weights[name].ravel() for name in GRU])
    return C.optimized_rnnstack(x, parameter(block, "gru"), UNITS, num_layers=1, recurrent_op="gru")


def gru(x, weights):
    """The same, as a recurrence."""
    w, u, b, c = (parameter(weights[name].T, name) for name in GRU)
    # Each gate has its part of every matrix before the loop, for CNTK copies what is sliced, in every time step.
    r, z, n = (slice(gate * UNITS, (gate + 1) * UNITS) for gate in range(3))
    inputs = C.times(x, w) + b  # of all time steps in one matrix product
    inputs_r, inputs_z, inputs_n = inputs[r] + c[r], inputs[z] + c[z], inputs[n]

    h = C.placeholder(shape=(UNITS,), dynamic_axes=x.dynamic_axes)
    before = C.sequence.past_value(h)
    reset = C.sigmoid(inputs_r + C.times(before, u[:, r]))
    update = C.sigmoid(inputs_z + C.times(before, u[:, z]))
    new = C.tanh(inputs_n + reset * (C.times(before, u[:, n]) + c[n]))
    after = new + update * (before - new)
    return after.replace_placeholders({h: after.output})


def network(tokens, weights, fused):
    # A dense table: CNTK's Adam cannot take the sparse gradients of layers.Embedding on a CPU.
    x = C.gather(parameter(weights["embedding.weight"], "embedding.weight"), tokens)
    last = C.sequence.last(fused_gru(x, weights) if fused else gru(x, weights))
    return C.times(last, parameter(weights["fc.weight"].T, "fc.weight")) + parameter(weights["fc.bias"], "fc.bias")


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


def weights_of(model):
    """The weights as they are now, under the names and in the shapes they came with."""
    weights = {weight.name: weight.value for weight in model.parameters}
    if "gru" in weights:  # the fused kernel's block
        ends = np.cumsum([np.prod(shape) for shape in GRU.values()])
        parts = np.split(weights.pop("gru"), ends[:-1])
        weights.update({name: part.reshape(GRU[name]) for name, part in zip(GRU, parts)})
    else:
        weights.update({name: weights[name].T for name in GRU})
    weights["fc.weight"] = weights["fc.weight"].T
    return weights


def run(job):
    fused = job.device == "gpu"
    runtime.start(job, fused=fused, notes=["Adam adds epsilon before it corrects the bias of v"])
    x_train, y_train, x_test, y_test = job.data(labels=np.float32)
    x_train, x_test = x_train.astype(np.float32), x_test.astype(np.float32)  # CNTK's tensors hold floats only
    model, x, y, trainer = build(job, fused)
    batch = job.settings["batch"]
    with job.compiling():
        runtime.compile_ahead(trainer, {x: x_train[:batch], y: y_train[:batch]}, model, x_train[:batch])

    job.ready()
    for epoch in job.epochs(sync=lambda: runtime.synchronize(model), weights=lambda: weights_of(model)):
        for tokens, labels in epoch.batches(x_train, y_train):
            trainer.train_minibatch({x: tokens, y: labels})
            epoch.step(lambda: trainer.previous_minibatch_loss_average)
        epoch.score(model.eval, x_test, y_test)


if __name__ == "__main__":
    bench.main(run)
