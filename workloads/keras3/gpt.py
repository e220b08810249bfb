"""Character-level GPT on Tiny Shakespeare in Keras 3.

Attention is Keras' own layer, which has a matrix each for queries, keys and values. On TensorFlow XLA
merges the many small operations between the matrix products: on a CPU with the smaller settings it needs an eighth less
CPU time, so it is switched on here, which Keras does by itself on GPUs only.
"""

import keras
import numpy as np
from keras import layers

from workloads.common import bench
from workloads.keras3 import runtime

CHARACTERS = 65


class PositionEmbedding(layers.Layer):
    """Add a vector to each character that depends on its place in the window."""

    def build(self, input_shape):
        self.embeddings = self.add_weight(shape=input_shape[1:], name="embeddings")

    def call(self, x):
        return x + self.embeddings


def norm(name):
    return layers.LayerNormalization(epsilon=1e-5, center=False, name=name)


def linear(width, name, activation=None):
    return layers.Dense(width, activation, use_bias=False, name=name)


def gelu(x):
    """x · Φ(x), not Keras' default, the approximation of it by tanh."""
    return keras.activations.gelu(x, approximate=False)


def block(x, name, heads, dropout):
    width = x.shape[-1]
    y = norm(name + "-norm1")(x)
    attention = layers.MultiHeadAttention(
        heads, width // heads, dropout=dropout, use_bias=False, name=name + "-attention"
    )
    y = attention(y, y, use_causal_mask=True)
    x = layers.Add()([x, layers.Dropout(dropout)(y)])
    y = norm(name + "-norm2")(x)
    y = linear(width, name + "-down")(linear(4 * width, name + "-up", gelu)(y))
    return layers.Add()([x, layers.Dropout(dropout)(y)])


def network(context, blocks, heads, width, dropout):
    token = layers.ReversibleEmbedding(CHARACTERS, width, reverse_dtype="float32", name="token")
    inputs = keras.Input((context,), dtype="int32")
    x = layers.Dropout(dropout)(PositionEmbedding(name="position")(token(inputs)))
    for number in range(blocks):
        x = block(x, "blocks-{}".format(number), heads, dropout)
    return keras.Model(inputs, token(norm("norm")(x), reverse=True))  # tied: the token embedding, transposed


def load(model, weights):
    """Give every layer its weights. Keras' matrices are (in, out); those of attention are cut into heads:
    (in, heads, size) and (heads, size, out)."""
    for layer in model.layers:
        name = runtime.dotted(layer.name)
        if isinstance(layer, layers.MultiHeadAttention):
            block = name.replace("attention", "")
            matrices = [*np.split(weights[block + "qkv.weight"], 3), weights[block + "out.weight"]]
            layer.set_weights([matrix.T.reshape(weight.shape) for matrix, weight in zip(matrices, layer.weights)])
        elif layer.weights:
            weight = weights[name + ".weight"]
            layer.set_weights([weight.T if isinstance(layer, layers.Dense) else weight])


def weights_of(model):
    """The weights as they are now, under the names and in the shapes they came with."""
    weights = {}
    for layer in model.layers:
        name = runtime.dotted(layer.name)
        if isinstance(layer, layers.MultiHeadAttention):
            block = name.replace("attention", "")
            width = layer.num_heads * layer.key_dim
            *qkv, weights[block + "out.weight"] = (kernel.reshape(width, width).T for kernel in layer.get_weights())
            weights[block + "qkv.weight"] = np.concatenate(qkv)
        elif layer.weights:
            (weight,) = layer.get_weights()
            weights[name + ".weight"] = weight.T if isinstance(layer, layers.Dense) else weight
    return weights


def adamw(settings):
    """AdamW with Keras' schedule, which rises from its first rate to its target, and then falls to a share of it."""
    schedule = keras.optimizers.schedules.CosineDecay(
        settings["lr"] / (settings["warmup"] + 1),
        warmup_target=settings["lr"],
        warmup_steps=settings["warmup"],
        decay_steps=max(1, settings["decay_steps"] - 1 - settings["warmup"]),
        alpha=settings["lr_end"],
    )
    optimizer = keras.optimizers.AdamW(
        schedule,
        weight_decay=settings["weight_decay"],
        beta_1=settings["beta1"],
        beta_2=settings["beta2"],
        epsilon=settings["epsilon"],
        global_clipnorm=settings["clip"],
    )
    optimizer.exclude_from_weight_decay(var_names=["gamma"])  # the gains of LayerNorm
    return runtime.as_published(optimizer)


def build(job):
    model = network(*(job.settings[name] for name in ("context", "layers", "heads", "width", "dropout")))
    load(model, job.weights())
    model.compile(
        optimizer=adamw(job.settings),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=True,
    )
    return model


def run(job):
    runtime.start(job)
    x_train, y_train, x_test, y_test = job.windows()
    model = build(job)
    with job.compiling():
        batch = job.settings["batch"]
        training = runtime.Training(model, x_train[:batch], y_train[:batch])
    job.ready()
    for epoch in job.epochs(sync=training.synchronize, weights=lambda: weights_of(training.model)):
        for x, y in epoch.batches(x_train, y_train):
            epoch.step(training.step(x, y))
        epoch.score_loss(training.predict, x_test, y_test, pad=True)  # XLA compiles for one batch size


if __name__ == "__main__":
    bench.main(run)
