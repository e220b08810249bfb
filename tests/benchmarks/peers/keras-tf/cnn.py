"""A small CNN in Keras 3 as its guides train one: Model.compile with its own choice of jit_compile, then Model.fit.

The backend is that of the folder; keras-torch and keras-jax link to this file.
https://keras.io/examples/vision/mnist_convnet/
https://keras.io/api/models/model_training_apis/
"""

import os
import time
from pathlib import Path

os.environ["KERAS_BACKEND"] = Path(__file__).parent.name.replace("keras-", "").replace("tf", "tensorflow")

import keras
import peer
from keras import layers

BATCH = peer.SETTINGS["batch"]

images, classes = peer.cifar10()
images = images.transpose(0, 2, 3, 1).copy()
model = keras.Sequential(
    [
        keras.Input((32, 32, 3)),
        layers.Conv2D(50, 3, padding="same", activation="relu"),
        layers.Conv2D(50, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Dropout(peer.SETTINGS["dropout_conv"]),
        layers.Conv2D(100, 3, padding="same", activation="relu"),
        layers.Conv2D(100, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Dropout(peer.SETTINGS["dropout_conv"]),
        layers.Flatten(),
        layers.Dense(512, activation="relu"),
        layers.Dropout(peer.SETTINGS["dropout_dense"]),
        layers.Dense(10),
    ]
)
model.compile(
    optimizer=keras.optimizers.SGD(peer.SETTINGS["lr"], momentum=peer.SETTINGS["momentum"]),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
)

model.fit(images[: 2 * BATCH], classes[: 2 * BATCH], batch_size=BATCH, verbose=0)
began = time.perf_counter()
model.fit(images, classes, batch_size=BATCH, verbose=0)
peer.report(len(images), time.perf_counter() - began)
