"""A GRU as in Keras' IMDB example: Embedding, the recurrent layer, Dense; compile and fit.

https://github.com/keras-team/keras/blob/2.3.1/examples/imdb_lstm.py
"""

import os
import time

if "keras-cntk" in __file__:
    import openmpi  # noqa: F401  (before CNTK)

# isort: split
import peer

os.environ["KERAS_BACKEND"] = "cntk" if "keras-cntk" in __file__ else "theano"

import keras
from keras.layers import GRU, Dense, Embedding

BATCH = peer.SETTINGS["batch"]

model = keras.Sequential([Embedding(30000, 125, input_length=150), GRU(100), Dense(2, activation="softmax")])
options = {"beta_1": peer.SETTINGS["beta1"], "beta_2": peer.SETTINGS["beta2"]}
model.compile(keras.optimizers.Adam(peer.SETTINGS["lr"], **options), loss="categorical_crossentropy")
words, classes = peer.imdb()
classes = keras.utils.to_categorical(classes, 2)

model.fit(words[: 2 * BATCH], classes[: 2 * BATCH], batch_size=BATCH, epochs=1, verbose=0)
began = time.perf_counter()
model.fit(words, classes, batch_size=BATCH, epochs=1, verbose=0)
peer.report(len(words), time.perf_counter() - began)
