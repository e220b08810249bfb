"""GRU on IMDB reviews in Keras 2.

`reset_after` gives the GRU of cuDNN; the fused kernel itself is for the TensorFlow backend only.
"""

import keras
import numpy as np
from keras.layers import GRU, Dense, Embedding

from workloads.common import bench
from workloads.keras2 import runtime

VOCABULARY, EMBEDDING, UNITS, CLASSES, LENGTH = 30000, 125, 100, 2, 150


def network():
    return keras.Sequential(
        [
            Embedding(VOCABULARY, EMBEDDING, input_length=LENGTH, name="embedding"),
            GRU(UNITS, recurrent_activation="sigmoid", reset_after=True, name="gru"),
            Dense(CLASSES, name="fc"),
        ]
    )


def swap_gates(array):
    """Gates stacked r, z, n as Keras stacks them, z, r, n; and Keras' gates as r, z, n."""
    first, second, n = np.split(array, 3)
    return np.concatenate([second, first, n])


def build(job):
    model = network()
    weights = job.weights()
    kernel, recurrent, bias, recurrent_bias = (
        swap_gates(weights["gru." + name]) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    model.get_layer("embedding").set_weights([weights["embedding.weight"]])
    model.get_layer("gru").set_weights([kernel.T, recurrent.T, np.stack([bias, recurrent_bias])])
    model.get_layer("fc").set_weights(runtime.dense(weights, "fc"))
    model.compile(
        optimizer=runtime.Adam(
            learning_rate=job.settings["lr"],
            beta_1=job.settings["beta1"],
            beta_2=job.settings["beta2"],
            epsilon=job.settings["epsilon"],
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model


def weights_of(model):
    """The weights as they are now, under the names and in the shapes they came with."""
    (embedding,) = model.get_layer("embedding").get_weights()
    kernel, recurrent, (bias, recurrent_bias) = model.get_layer("gru").get_weights()
    fc, fc_bias = model.get_layer("fc").get_weights()
    return {
        "embedding.weight": embedding,
        "gru.weight_ih": swap_gates(kernel.T),
        "gru.weight_hh": swap_gates(recurrent.T),
        "gru.bias_ih": swap_gates(bias),
        "gru.bias_hh": swap_gates(recurrent_bias),
        "fc.weight": fc.T,
        "fc.bias": fc_bias,
    }


def run(job):
    runtime.start(job, fused=False)
    x_train, y_train, x_test, y_test = job.data()
    model = build(job)
    batch = job.settings["batch"]
    with job.compiling():
        runtime.compile_ahead(model, x_train[:batch], y_train[:batch])

    job.ready()
    for epoch in job.epochs(sync=lambda: runtime.synchronize(model), weights=lambda: weights_of(model)):
        for x, y in epoch.batches(x_train, y_train):
            epoch.step(model.train_on_batch(x, y))
        epoch.score(model.predict_on_batch, x_test, y_test)


if __name__ == "__main__":
    bench.main(run)
