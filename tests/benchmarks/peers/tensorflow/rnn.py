"""A GRU on reviews in TensorFlow: a Keras model in a tf.function with a gradient tape, fed by tf.data.

https://www.tensorflow.org/guide/keras/working_with_rnns
https://www.tensorflow.org/tutorials/quickstart/advanced
https://www.tensorflow.org/guide/data_performance
"""

import time

import peer
import tensorflow as tf
from tensorflow.keras import layers

BATCH = peer.SETTINGS["batch"]

words, classes = peer.imdb()
data = tf.data.Dataset.from_tensor_slices((words, classes)).shuffle(len(words)).batch(BATCH)
data = data.prefetch(tf.data.AUTOTUNE)
model = tf.keras.Sequential([layers.Embedding(30000, 125), layers.GRU(100), layers.Dense(2)])
model.build((None, 150))
loss_function = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
optimizer = tf.keras.optimizers.Adam(
    peer.SETTINGS["lr"], peer.SETTINGS["beta1"], peer.SETTINGS["beta2"], peer.SETTINGS["epsilon"]
)
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
peer.report(len(words), time.perf_counter() - began)
