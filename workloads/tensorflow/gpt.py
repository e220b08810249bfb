"""Character-level GPT on Tiny Shakespeare in TensorFlow, without Keras: a tf.Module, a gradient tape and tf.function.

Between layers, activations are matrices with a row for each character, (batch · context, width): all linear layers
are single matrix products. TensorFlow has no fused kernel for attention, so it is written out. XLA merges the many
small operations between the matrix products: on a CPU with the smaller settings it needs a fifth less CPU time.
"""

import math

import numpy as np
import tensorflow as tf

from workloads.common import bench
from workloads.tensorflow import runtime

EPSILON = 1e-5  # of LayerNorm


class Gpt(tf.Module):
    def __init__(self, weights, layers, heads, dropout, seed):
        super().__init__()
        self.weights = {name: tf.Variable(array, name=name) for name, array in weights.items()}
        self.layers = layers
        self.heads = heads
        self.rate = dropout
        self.seed = seed
        self.context, self.width = weights["position.weight"].shape
        # What is added to the scores of attention: a character does not see those after it.
        self.mask = np.triu(np.full((self.context, self.context), -np.inf, np.float32), k=1)
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)  # training steps so far

    def linear(self, x, name):
        return tf.matmul(x, self.weights[name + ".weight"], transpose_b=True)

    def norm(self, x, name):
        mean, variance = tf.nn.moments(x, axes=[1], keepdims=True)
        return tf.nn.batch_normalization(x, mean, variance, None, self.weights[name + ".weight"], EPSILON)

    def dropout(self, x, rate, place):
        """Zero numbers with probability `rate`: by seed, place and step alone, as XLA ignores TensorFlow's own seed."""
        seed = tf.stack([tf.constant(self.seed + place, tf.int64), self.step])
        return tf.nn.experimental.stateless_dropout(x, rate, seed)

    def attention(self, x, name, rate, place):
        size = self.width // self.heads
        x = tf.reshape(self.linear(x, name + ".qkv"), (-1, self.context, 3, self.heads, size))
        q, k, v = tf.unstack(tf.transpose(x, (2, 0, 3, 1, 4)))
        scores = tf.matmul(q, k, transpose_b=True) / math.sqrt(size) + self.mask
        y = tf.matmul(self.dropout(tf.nn.softmax(scores), rate, place), v)
        return self.linear(tf.reshape(tf.transpose(y, (0, 2, 1, 3)), (-1, self.width)), name + ".out")

    def perceptron(self, x, name):
        return self.linear(tf.nn.gelu(self.linear(x, name + ".up")), name + ".down")

    def __call__(self, ids, training):
        """Character ids (batch, context) -> logits (batch, context, characters)."""
        rate = self.rate if training else 0
        x = tf.gather(self.weights["token.weight"], ids) + self.weights["position.weight"]
        x = self.dropout(tf.reshape(x, (-1, self.width)), rate, place=0)
        for number in range(self.layers):
            block, place = "blocks.{}".format(number), 3 * number
            y = self.attention(self.norm(x, block + ".norm1"), block, rate, place + 1)
            x += self.dropout(y, rate, place + 2)
            y = self.perceptron(self.norm(x, block + ".norm2"), block)
            x += self.dropout(y, rate, place + 3)
        logits = self.linear(self.norm(x, "norm"), "token")  # tied: the token embedding, transposed
        return tf.reshape(logits, (-1, self.context, logits.shape[1]))


class AdamW(tf.Module):
    """Adam with bias correction, in one kernel per variable. Before it, matrices shrink by lr · decay; gains do not."""

    def __init__(self, variables, beta1, beta2, epsilon, decay):
        super().__init__()
        self.parameters = variables
        self.means = [tf.Variable(tf.zeros_like(variable)) for variable in variables]
        self.variances = [tf.Variable(tf.zeros_like(variable)) for variable in variables]
        self.beta1_power = tf.Variable(1.0)
        self.beta2_power = tf.Variable(1.0)
        self.betas = {"beta1": beta1, "beta2": beta2}
        self.epsilon = epsilon
        self.decay = decay

    def apply(self, gradients, lr):
        powers = {
            "beta1_power": self.beta1_power.assign(self.beta1_power * self.betas["beta1"]),
            "beta2_power": self.beta2_power.assign(self.beta2_power * self.betas["beta2"]),
        }
        # The kernel adds epsilon to the root of the variance before bias correction, Adam's definition after it.
        epsilon = self.epsilon * tf.sqrt(1 - powers["beta2_power"])
        for variable, mean, variance, gradient in zip(self.parameters, self.means, self.variances, gradients):
            if variable.shape.rank > 1:
                variable.assign_sub(lr * self.decay * variable)
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=mean.handle,
                v=variance.handle,
                grad=tf.convert_to_tensor(gradient),
                lr=lr,
                epsilon=epsilon,
                **powers,
                **self.betas,
            )


def learning_rate(step, lr, lr_end, warmup, decay_steps):
    """Of step 0, 1, …: up along a line for `warmup` steps, then down along half a cosine to lr · lr_end."""
    step = tf.cast(step, tf.float32)
    done = tf.minimum(1.0, (step - warmup) / max(1, decay_steps - 1 - warmup))
    falling = lr_end + (1 - lr_end) * 0.5 * (1 + tf.cos(math.pi * done))
    return lr * tf.where(step < warmup, (step + 1) / (warmup + 1), falling)


def build(job):
    layers, heads, dropout = (job.settings[name] for name in ("layers", "heads", "dropout"))
    return Gpt(job.weights(), layers, heads, dropout, job.seed)


def weights_of(model):
    """The weights as they are now, under the names they came with."""
    return {name: variable.numpy() for name, variable in model.weights.items()}


def run(job):
    runtime.start(job)
    x_train, y_train, x_test, y_test = job.windows()
    model = build(job)
    beta1, beta2, epsilon, decay = (job.settings[name] for name in ("beta1", "beta2", "epsilon", "weight_decay"))
    optimizer = AdamW(model.trainable_variables, beta1, beta2, epsilon, decay)
    schedule = {name: job.settings[name] for name in ("lr", "lr_end", "warmup", "decay_steps")}

    @tf.function(jit_compile=True)
    def train_step(x, y):
        with tf.GradientTape() as tape:
            logits = model(x, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, optimizer.parameters), job.settings["clip"])
        optimizer.apply(gradients, learning_rate(model.step, **schedule))
        model.step.assign_add(1)
        return loss

    @tf.function(input_signature=[tf.TensorSpec((None, job.settings["context"]), tf.int32)])
    def predict(x):
        return model(x, training=False)

    with job.compiling(), runtime.unchanged([*optimizer.variables, model.step]):
        batch = job.settings["batch"]
        train_step(x_train[:batch], y_train[:batch])
        predict(x_test[:batch])
    job.ready()
    for epoch in job.epochs(sync=runtime.synchronize, weights=lambda: weights_of(model)):
        for x, y in epoch.batches(x_train, y_train):
            epoch.step(train_step(x, y))
        epoch.score_loss(predict, x_test, y_test)


if __name__ == "__main__":
    bench.main(run)
