"""A small CNN in TensorFlow: a Keras model in a tf.function with a gradient tape, fed by tf.data.

https://www.tensorflow.org/tutorials/quickstart/advanced
https://www.tensorflow.org/guide/data_performance
"""

import time

import peer
import tensorflow as tf
from tensorflow.keras import layers

BATCH = peer.SETTINGS["batch"]

images, classes = peer.cifar10()
images = images.transpose(0, 2, 3, 1).copy()
data = tf.data.Dataset.from_tensor_slices((images, classes)).shuffle(len(images)).batch(BATCH)
data = data.prefetch(tf.data.AUTOTUNE)
model = tf.keras.Sequential(
    [
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
model.build((None, 32, 32, 3))
loss_function = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
optimizer = tf.keras.optimizers.SGD(peer.SETTINGS["lr"], momentum=peer.SETTINGS["momentum"])
optimizer.build(model.trainable_variables)


@tf.function
def step(x, y):
    with tf.GradientTape() as tape:
        loss = loss_function(y, model(x, training=True))
    gradients = tape.gradient(loss, model.trainable_variables)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables))
    return loss


def train(data):
    for x, y in data:
        loss = step(x, y)
    return loss.numpy()


train(data.take(2))
began = time.perf_counter()
train(data)
peer.report(len(images), time.perf_counter() - began)
