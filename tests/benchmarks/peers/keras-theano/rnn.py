"""A GRU as in Keras' IMDB example: Sequential, compile and fit.

https://github.com/keras-team/keras/blob/2.3.1/examples/imdb_lstm.py
https://keras.io/backend/
https://theano-pymc.readthedocs.io/en/latest/tutorial/multi_cores.html
"""

import os
import time

import peer

os.environ["KERAS_BACKEND"] = "theano"
os.environ["THEANO_FLAGS"] = "floatX=float32,openmp=True,blas.ldflags=-lopenblas,allow_gc=False"

import keras
from keras.layers import GRU, Dense, Embedding

BATCH = peer.SETTINGS["batch"]

model = keras.Sequential([
    Embedding(30000, 125, input_length=150),
    GRU(100, recurrent_activation="sigmoid", reset_after=True),
    Dense(2, activation="softmax"),
])  # fmt: skip
options = {"beta_1": peer.SETTINGS["beta1"], "beta_2": peer.SETTINGS["beta2"], "epsilon": peer.SETTINGS["epsilon"]}
model.compile(keras.optimizers.Adam(peer.SETTINGS["lr"], **options), loss="categorical_crossentropy")
words, classes = peer.imdb()
classes = keras.utils.to_categorical(classes, 2)

model.fit(words[: 2 * BATCH], classes[: 2 * BATCH], batch_size=BATCH, epochs=1, verbose=0)
began = time.perf_counter()
model.fit(words, classes, batch_size=BATCH, epochs=1, verbose=0)
peer.report(len(words), time.perf_counter() - began)
