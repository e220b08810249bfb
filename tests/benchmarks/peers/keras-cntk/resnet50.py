"""Features of ResNet-50 from keras.applications, whose convolutions have biases, by predict_on_batch.

https://keras.io/api/applications/
"""

import os
import time

if "keras-cntk" in __file__:
    import openmpi  # noqa: F401  (before CNTK)

# isort: split
import peer

os.environ["KERAS_BACKEND"] = "cntk" if "keras-cntk" in __file__ else "theano"

import keras
from keras.applications.resnet50 import ResNet50

keras.backend.set_image_data_format("channels_first")
model = ResNet50(weights=None, include_top=False, pooling="avg", input_shape=(3, 224, 224))


def extract(batches):
    return [model.predict_on_batch(batch) for batch in batches]


photos = peer.photos()

extract(photos[:1])
began = time.perf_counter()
extract(photos)
peer.report(photos.shape[0] * photos.shape[1], time.perf_counter() - began)
