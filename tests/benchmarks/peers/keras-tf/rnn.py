"""A GRU on reviews in Keras 3: layers.GRU as it is by default, reset-after, and Model.fit.

The backend is that of the folder; keras-torch and keras-jax link to this file.
https://keras.io/guides/working_with_rnns/
https://keras.io/examples/nlp/bidirectional_lstm_imdb/
"""

import os
import time
from pathlib import Path

os.environ["KERAS_BACKEND"] = Path(__file__).parent.name.replace("keras-", "").replace("tf", "tensorflow")

import keras
import peer
from keras import layers

BATCH = peer.SETTINGS["batch"]

words, classes = peer.imdb()
model = keras.Sequential(
    [keras.Input((150,), dtype="int32"), layers.Embedding(30000, 125), layers.GRU(100), layers.Dense(2)]
)
model.compile(
    optimizer=keras.optimizers.Adam(
        peer.SETTINGS["lr"], peer.SETTINGS["beta1"], peer.SETTINGS["beta2"], peer.SETTINGS["epsilon"]
    ),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
)

model.fit(words[: 2 * BATCH], classes[: 2 * BATCH], batch_size=BATCH, verbose=0)
began = time.perf_counter()
model.fit(words, classes, batch_size=BATCH, verbose=0)
peer.report(len(words), time.perf_counter() - began)
