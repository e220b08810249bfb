"""CNN on CIFAR-10 in Keras 2."""

import keras
from keras.layers import Activation, Conv2D, Dense, Dropout, Flatten, MaxPooling2D

from workloads.common import bench
from workloads.keras2 import runtime

CONVOLUTIONS = ("conv1", "conv2", "conv3", "conv4")
DENSE = ("fc1", "fc2")


def network(dropout_conv, dropout_dense):
    return keras.Sequential(
        [
            Conv2D(50, 3, padding="same", activation="relu", name="conv1", input_shape=(3, 32, 32)),
            Conv2D(50, 3, padding="same", name="conv2"),
            MaxPooling2D(2),
            Activation("relu"),
            Dropout(dropout_conv),
            Conv2D(100, 3, padding="same", activation="relu", name="conv3"),
            Conv2D(100, 3, padding="same", name="conv4"),
            MaxPooling2D(2),
            Activation("relu"),
            Dropout(dropout_conv),
            Flatten(data_format="channels_last"),  # as the tensor lies in memory: C, H, W
            Dense(512, activation="relu", name="fc1"),
            Dropout(dropout_dense),
            Dense(10, name="fc2"),
        ]
    )


def build(job):
    model = network(job.settings["dropout_conv"], job.settings["dropout_dense"])
    weights = job.weights()
    for name in CONVOLUTIONS:
        model.get_layer(name).set_weights([runtime.kernel(weights[name + ".weight"]), weights[name + ".bias"]])
    for name in DENSE:
        model.get_layer(name).set_weights(runtime.dense(weights, name))
    model.compile(
        optimizer=keras.optimizers.SGD(learning_rate=job.settings["lr"], momentum=job.settings["momentum"]),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model


def weights_of(model):
    """The weights as they are now, under the names and in the shapes they came with."""
    weights = {}
    for name in CONVOLUTIONS + DENSE:
        kernel, weights[name + ".bias"] = model.get_layer(name).get_weights()
        weights[name + ".weight"] = runtime.oihw(kernel) if name in CONVOLUTIONS else kernel.T
    return weights


def run(job):
    runtime.start(job)
    x_train, y_train, x_test, y_test = job.data()
    model = build(job)
    batch = job.settings["batch"]
    with job.compiling():
        runtime.compile_ahead(model, x_train[:batch], y_train[:batch])

    job.ready()
    for epoch in job.epochs(sync=lambda: runtime.synchronize(model), weights=lambda: weights_of(model)):
        for x, y in epoch.batches(x_train, y_train):
            epoch.step(model.train_on_batch(x, y))
        epoch.score(model.predict_on_batch, x_test, y_test)  # on Theano, the random numbers for dropout move on


if __name__ == "__main__":
    bench.main(run)
