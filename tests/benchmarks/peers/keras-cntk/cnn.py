"""A small CNN as in Keras' CIFAR-10 example: Sequential, compile and fit, images channels first.

https://github.com/keras-team/keras/blob/2.3.1/examples/cifar10_cnn.py
https://keras.io/backend/
"""

import os
import time

if "keras-cntk" in __file__:
    import openmpi  # noqa: F401  (before CNTK)

# isort: split
import peer

os.environ["KERAS_BACKEND"] = "cntk" if "keras-cntk" in __file__ else "theano"

import keras
from keras.layers import Activation, Conv2D, Dense, Dropout, Flatten, MaxPooling2D

BATCH = peer.SETTINGS["batch"]
keras.backend.set_image_data_format("channels_first")

model = keras.Sequential([
    Conv2D(50, 3, padding="same", activation="relu", input_shape=(3, 32, 32)), Conv2D(50, 3, padding="same"),
    MaxPooling2D(), Activation("relu"), Dropout(peer.SETTINGS["dropout_conv"]),
    Conv2D(100, 3, padding="same", activation="relu"), Conv2D(100, 3, padding="same"),
    MaxPooling2D(), Activation("relu"), Dropout(peer.SETTINGS["dropout_conv"]),
    Flatten(), Dense(512, activation="relu"), Dropout(peer.SETTINGS["dropout_dense"]), Dense(10, activation="softmax"),
])  # fmt: skip
optimizer = keras.optimizers.SGD(peer.SETTINGS["lr"], momentum=peer.SETTINGS["momentum"])
model.compile(optimizer, loss="categorical_crossentropy")
images, classes = peer.cifar10()
classes = keras.utils.to_categorical(classes, 10)

model.fit(images[: 2 * BATCH], classes[: 2 * BATCH], batch_size=BATCH, epochs=1, verbose=0)
began = time.perf_counter()
model.fit(images, classes, batch_size=BATCH, epochs=1, verbose=0)
peer.report(len(images), time.perf_counter() - began)
