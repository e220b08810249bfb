"""CNN on CIFAR-10 in Keras 3.

On TensorFlow, Keras compiles the model with XLA on a GPU and leaves it to oneDNN on a CPU (jit_compile="auto", its
default). On JAX it is always compiled, on PyTorch never.
"""

import keras
from keras import layers

from workloads.common import bench
from workloads.keras3 import runtime

LAYERS = ("conv1", "conv2", "conv3", "conv4", "fc1", "fc2")  # those that have weights
FLATTENED = (512, 100, 8, 8)  # fc1's weight, its columns as what they multiply: C, H, W


def network(dropout_conv, dropout_dense):
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(50, 3, padding="same", activation="relu", name="conv1"),
            layers.Conv2D(50, 3, padding="same", name="conv2"),
            layers.MaxPooling2D(2),
            layers.ReLU(),
            layers.Dropout(dropout_conv),
            layers.Conv2D(100, 3, padding="same", activation="relu", name="conv3"),
            layers.Conv2D(100, 3, padding="same", name="conv4"),
            layers.MaxPooling2D(2),
            layers.ReLU(),
            layers.Dropout(dropout_conv),
            layers.Flatten(),
            layers.Dense(512, activation="relu", name="fc1"),
            layers.Dropout(dropout_dense),
            layers.Dense(10, dtype="float32", name="fc2"),
        ]
    )


def build(job):
    model = network(job.settings["dropout_conv"], job.settings["dropout_dense"])
    weights = job.weights()
    # Keras flattens in H, W, C order.
    weights["fc1.weight"] = weights["fc1.weight"].reshape(FLATTENED).transpose(0, 2, 3, 1).reshape(512, 6400)
    for name in LAYERS:
        kernel = weights[name + ".weight"]
        kernel = kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel.T
        model.get_layer(name).set_weights([kernel, weights[name + ".bias"]])
    model.compile(
        optimizer=keras.optimizers.SGD(job.settings["lr"], momentum=job.settings["momentum"]),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model


def weights_of(model):
    """The weights as they are now, under the names and in the shapes they came with."""
    weights = {}
    for name in LAYERS:
        kernel, weights[name + ".bias"] = model.get_layer(name).get_weights()
        weights[name + ".weight"] = kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T
    n, c, h, w = FLATTENED
    weights["fc1.weight"] = weights["fc1.weight"].reshape(n, h, w, c).transpose(0, 3, 1, 2).reshape(n, -1)
    return weights


def run(job):
    runtime.start(job)
    x_train, y_train, x_test, y_test = job.data(layout="NHWC")
    model = build(job)
    with job.compiling():
        batch = job.settings["batch"]
        training = runtime.Training(model, x_train[:batch], y_train[:batch])
    job.ready()
    for epoch in job.epochs(sync=training.synchronize, weights=lambda: weights_of(training.model)):
        for x, y in epoch.batches(x_train, y_train):
            epoch.step(training.step(x, y))
        epoch.score(training.predict, x_test, y_test, pad=True)  # XLA compiles for one batch size


if __name__ == "__main__":
    bench.main(run)
