"""A small GPT in Keras 3: layers.MultiHeadAttention with a causal mask in a functional model, and Model.fit.

The backend is that of the folder; keras-torch and keras-jax link to this file.
https://keras.io/examples/generative/text_generation_with_miniature_gpt/
https://keras.io/api/layers/attention_layers/multi_head_attention/
"""

import os
import time
from pathlib import Path

os.environ["KERAS_BACKEND"] = Path(__file__).parent.name.replace("keras-", "").replace("tf", "tensorflow")

import keras
import numpy as np
import peer
from keras import layers, ops

S = peer.SETTINGS
BATCH, CONTEXT, WIDTH = S["batch"], S["context"], S["width"]
NORMAL = keras.initializers.RandomNormal(stddev=0.02)


class Ends(layers.Layer):
    """The embeddings of characters and positions and, by the same weights, the scores of the next character."""

    def __init__(self):
        super().__init__()
        self.token = layers.Embedding(65, WIDTH, embeddings_initializer=NORMAL)
        self.position = layers.Embedding(CONTEXT, WIDTH, embeddings_initializer=NORMAL)

    def call(self, x, reverse=False):
        if reverse:
            return ops.matmul(x, ops.transpose(self.token.embeddings))
        return self.token(x) + self.position(ops.arange(CONTEXT))


def norm(x):
    return layers.LayerNormalization(epsilon=1e-5, center=False)(x)


def dense(x, units, activation=None):
    return layers.Dense(units, activation, use_bias=False, kernel_initializer=NORMAL)(x)


def windows(text, steps):
    starts = peer.RANDOM.randint(len(text) - CONTEXT, size=(steps * BATCH, 1))
    places = starts + np.arange(CONTEXT)
    return text[places], text[places + 1]


ids = keras.Input((CONTEXT,), dtype="int32")
ends = Ends()
x = layers.Dropout(S["dropout"])(ends(ids))
for _ in range(S["layers"]):
    attention = layers.MultiHeadAttention(
        S["heads"], WIDTH // S["heads"], dropout=S["dropout"], use_bias=False, kernel_initializer=NORMAL
    )
    y = norm(x)
    x = x + layers.Dropout(S["dropout"])(attention(y, y, use_causal_mask=True))
    y = dense(norm(x), 4 * WIDTH, lambda x: ops.gelu(x, approximate=False))
    x = x + layers.Dropout(S["dropout"])(dense(y, WIDTH))
model = keras.Model(ids, ends(norm(x), reverse=True))
rate = keras.optimizers.schedules.CosineDecay(
    0.0, max(1, S["decay_steps"] - S["warmup"]), S["lr_end"], warmup_target=S["lr"], warmup_steps=S["warmup"]
)
optimizer = keras.optimizers.AdamW(
    rate, S["weight_decay"], S["beta1"], S["beta2"], S["epsilon"], global_clipnorm=S["clip"]
)
optimizer.exclude_from_weight_decay(var_names=["gamma"])
model.compile(optimizer=optimizer, loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))

text = peer.text()
model.fit(*windows(text, 3), batch_size=BATCH, verbose=0)
began = time.perf_counter()
model.fit(*windows(text, S["steps"]), batch_size=BATCH, verbose=0)
peer.report(S["steps"] * BATCH * CONTEXT, time.perf_counter() - began)
