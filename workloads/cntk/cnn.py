"""CNN on CIFAR-10 in CNTK."""

import cntk as C
import numpy as np

from workloads.cntk import runtime
from workloads.cntk.runtime import parameter
from workloads.common import bench

CLASSES = 10
CHANNELS = {"conv1": (50, 3), "conv2": (50, 50), "conv3": (100, 50), "conv4": (100, 100)}  # out of it and into it
BLOCK = 16  # channels that MKL's convolutions take at a time; with other numbers the whole takes a quarter longer


def network(x, weights, dropout_conv, dropout_dense):
    block = 1 if runtime.on_gpu() else BLOCK

    # Channels are added up to a whole block. Their weights are 0, so are their gradients, and so they stay 0.
    def conv(name, x):
        out, into = CHANNELS[name]
        more = [(0, -out % block), (0, x.shape[0] - into), (0, 0), (0, 0)]
        kernel = np.pad(weights[name + ".weight"], more, "constant")
        return C.convolution(parameter(kernel, name + ".weight"), x, auto_padding=[False, True, True])

    def bias(name, x):
        out, _ = CHANNELS[name]
        column = np.pad(weights[name + ".bias"], (0, -out % block), "constant")[:, None, None]
        return x + parameter(column, name + ".bias")

    def dense(name, x):
        matrix = parameter(weights[name + ".weight"].T, name + ".weight")
        return C.times(x, matrix) + parameter(weights[name + ".bias"], name + ".bias")

    # A bias, the same for all pixels, after the pooling: a quarter of the additions, which CNTK does on one CPU.
    pool = C.layers.MaxPooling((2, 2), strides=2)
    x = C.relu(bias("conv1", conv("conv1", x)))
    x = C.relu(bias("conv2", pool(conv("conv2", x))))
    x = C.layers.Dropout(dropout_conv)(x)
    x = C.relu(bias("conv3", conv("conv3", x)))
    x = C.relu(bias("conv4", pool(conv("conv4", x))))
    x = C.layers.Dropout(dropout_conv)(x)
    x = C.reshape(C.slice(x, axis=0, begin_index=0, end_index=CHANNELS["conv4"][0]), -1)
    x = C.relu(dense("fc1", x))
    x = C.layers.Dropout(dropout_dense)(x)
    return dense("fc2", x)


def build(job):
    settings = job.settings
    x, y = C.input_variable((3, 32, 32)), C.input_variable(())
    model = network(x, job.weights(), settings["dropout_conv"], settings["dropout_dense"])
    loss = C.cross_entropy_with_softmax(model, C.one_hot(y, CLASSES))
    learner = C.momentum_sgd(
        model.parameters,
        lr=C.learning_parameter_schedule(settings["lr"]),
        momentum=C.momentum_schedule(settings["momentum"]),
        unit_gain=False,
        minibatch_size=C.learners.IGNORE,  # lr and momentum apply to the mean gradient of a batch
    )
    return model, x, y, C.Trainer(model, (loss, None), [learner])


def weights_of(model):
    """The weights as they are now, under the names and in the shapes they came with."""
    weights = {weight.name: weight.value for weight in model.parameters}
    for layer, (out, into) in CHANNELS.items():
        weights[layer + ".weight"] = weights[layer + ".weight"][:out, :into]
        weights[layer + ".bias"] = weights[layer + ".bias"][:out].ravel()
    for layer in ("fc1", "fc2"):
        weights[layer + ".weight"] = weights[layer + ".weight"].T
    return weights


def run(job):
    more = "channels of zeros make whole blocks of {} for MKL's convolutions".format(BLOCK)
    runtime.start(job, notes=[more] if job.device == "cpu" else [])
    x_train, y_train, x_test, y_test = job.data(labels=np.float32)
    model, x, y, trainer = build(job)
    batch = job.settings["batch"]
    with job.compiling():
        runtime.compile_ahead(trainer, {x: x_train[:batch], y: y_train[:batch]}, model, x_train[:batch])

    job.ready()
    for epoch in job.epochs(sync=lambda: runtime.synchronize(model), weights=lambda: weights_of(model)):
        for images, labels in epoch.batches(x_train, y_train):
            trainer.train_minibatch({x: images, y: labels})
            epoch.step(lambda: trainer.previous_minibatch_loss_average)
        epoch.score(model.eval, x_test, y_test)


if __name__ == "__main__":
    bench.main(run)
