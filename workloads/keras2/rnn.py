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


def gru(weights):
    """The weights of a GRU layer: gates r, z, n become z, r, n; the two biases become one array of two rows."""

    def gates(name):
        r, z, n = np.split(weights["gru." + name], 3)
        return np.concatenate([z, r, n])

    return [gates("weight_ih").T, gates("weight_hh").T, np.stack([gates("bias_ih"), gates("bias_hh")])]


def build(job):
    model = network()
    weights = job.weights()
    model.get_layer("embedding").set_weights([weights["embedding.weight"]])
    model.get_layer("gru").set_weights(gru(weights))
    model.get_layer("fc").set_weights(runtime.dense(weights, "fc"))
    model.compile(
        optimizer=keras.optimizers.Adam(
            learning_rate=job.settings["lr"],
            beta_1=job.settings["beta1"],
            beta_2=job.settings["beta2"],
            epsilon=job.settings["epsilon"],
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model


def run(job):
    runtime.start(job, fused=False, notes=["Adam adds epsilon before the bias correction"])
    x_train, y_train, x_test, y_test = job.data()
    model = build(job)
    batch = job.settings["batch"]
    with job.compiling():
        runtime.compile_ahead(model, x_train[:batch], y_train[:batch])

    job.ready()
    for epoch in job.epochs(sync=lambda: runtime.synchronize(model)):
        for x, y in epoch.batches(x_train, y_train):
            epoch.step(model.train_on_batch(x, y))
    job.score(model.predict_on_batch, x_test, y_test)


if __name__ == "__main__":
    bench.main(run)
