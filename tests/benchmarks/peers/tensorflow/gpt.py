"""A small GPT in TensorFlow: layers as in its Transformer tutorial, in a tf.function compiled by XLA, fed by tf.data.

https://www.tensorflow.org/text/tutorials/transformer
https://www.tensorflow.org/guide/data_performance
https://openxla.org/xla/tf2xla
"""

import time

import peer
import tensorflow as tf
from tensorflow.keras import layers

S = peer.SETTINGS
BATCH, CONTEXT, WIDTH = S["batch"], S["context"], S["width"]
NORMAL = tf.keras.initializers.RandomNormal(stddev=0.02)


class Block(layers.Layer):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = (layers.LayerNormalization(epsilon=1e-5, center=False) for _ in range(2))
        self.attention = layers.MultiHeadAttention(
            S["heads"], WIDTH // S["heads"], dropout=S["dropout"], use_bias=False, kernel_initializer=NORMAL
        )
        self.up = layers.Dense(4 * WIDTH, tf.nn.gelu, use_bias=False, kernel_initializer=NORMAL)
        self.down = layers.Dense(WIDTH, use_bias=False, kernel_initializer=NORMAL)
        self.dropout = layers.Dropout(S["dropout"])

    def call(self, x, training=None):
        y = self.norm1(x)
        y = self.attention(y, y, use_causal_mask=True, training=training)
        x = x + self.dropout(y, training=training)
        return x + self.dropout(self.down(self.up(self.norm2(x))), training=training)


class Gpt(tf.keras.Model):
    def __init__(self):
        super().__init__()
        self.token = layers.Embedding(65, WIDTH, embeddings_initializer=NORMAL)
        self.position = layers.Embedding(CONTEXT, WIDTH, embeddings_initializer=NORMAL)
        self.dropout = layers.Dropout(S["dropout"])
        self.blocks = [Block() for _ in range(S["layers"])]
        self.norm = layers.LayerNormalization(epsilon=1e-5, center=False)

    def call(self, ids, training=None):
        x = self.dropout(self.token(ids) + self.position(tf.range(CONTEXT)), training=training)
        for block in self.blocks:
            x = block(x, training=training)
        return tf.matmul(self.norm(x), self.token.embeddings, transpose_b=True)


def batches(text, steps):
    def window(_):
        start = tf.random.uniform((), maxval=len(text) - CONTEXT, dtype=tf.int32)
        return text[start : start + CONTEXT], text[start + 1 : start + 1 + CONTEXT]

    data = tf.data.Dataset.range(steps * BATCH).map(window, num_parallel_calls=tf.data.AUTOTUNE)
    return data.batch(BATCH, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


model = Gpt()
model(tf.zeros((BATCH, CONTEXT), tf.int32))
rate = tf.keras.optimizers.schedules.CosineDecay(
    0.0, max(1, S["decay_steps"] - S["warmup"]), S["lr_end"], warmup_target=S["lr"], warmup_steps=S["warmup"]
)
optimizer = tf.keras.optimizers.AdamW(
    rate, S["weight_decay"], S["beta1"], S["beta2"], S["epsilon"], global_clipnorm=S["clip"]
)
optimizer.exclude_from_weight_decay(var_names=["gamma"])
optimizer.build(model.trainable_variables)
loss_function = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@tf.function(jit_compile=True)
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


text = tf.constant(peer.text())
train(batches(text, 3))
began = time.perf_counter()
train(batches(text, S["steps"]))
peer.report(S["steps"] * BATCH * CONTEXT, time.perf_counter() - began)
