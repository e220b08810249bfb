"""Features of ResNet-50 by Keras 3: the model of keras.applications without its top, and Model.predict.

Its convolutions have biases, which ours lack; that costs next to nothing.
The backend is that of the folder; keras-torch and keras-jax link to this file.
https://keras.io/api/applications/ (extract features)
"""

import os
import time
from pathlib import Path

os.environ["KERAS_BACKEND"] = Path(__file__).parent.name.replace("keras-", "").replace("tf", "tensorflow")

import keras
import peer

photos = peer.photos()
images = photos.reshape(-1, 3, 224, 224).transpose(0, 2, 3, 1).copy()
model = keras.applications.ResNet50(weights=None, include_top=False, pooling="avg", input_shape=(224, 224, 3))

model.predict(images, batch_size=peer.SETTINGS["batch"], verbose=0)
began = time.perf_counter()
model.predict(images, batch_size=peer.SETTINGS["batch"], verbose=0)
peer.report(len(images), time.perf_counter() - began)
