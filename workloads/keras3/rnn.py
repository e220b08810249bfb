"""GRU on IMDB reviews in Keras 3.

On a GPU keras.layers.GRU is cuDNN's fused kernel, but not on JAX. Otherwise it is a loop of many small operations. On
TensorFlow and a CPU XLA merges them: a quarter less CPU time, so it is switched on here, which Keras does by itself on
GPUs only.
"""

import keras
import numpy as np
from keras import layers

from workloads.common import bench
from workloads.keras3 import runtime

VOCABULARY, EMBEDDING, UNITS, CLASSES, LENGTH = 30000, 125, 100, 2, 150


def network():
    return keras.Sequential(
        [
            keras.Input((LENGTH,), dtype="int32"),
            layers.Embedding(VOCABULARY, EMBEDDING, name="embedding"),
            layers.GRU(UNITS, reset_after=True, name="gru"),
            layers.Dense(CLASSES, dtype="float32", name="fc"),
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
    model.get_layer("fc").set_weights([weights["fc.weight"].T, weights["fc.bias"]])
    model.compile(
        optimizer=runtime.as_published(
            keras.optimizers.Adam(*(job.settings[name] for name in ("lr", "beta1", "beta2", "epsilon")))
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=job.device == "cpu",  # XLA cannot hold cuDNN's kernel
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
    runtime.start(job, fused=job.device in runtime.FUSED_GRU)
    x_train, y_train, x_test, y_test = job.data()
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
