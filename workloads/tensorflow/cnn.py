"""CNN on CIFAR-10 in TensorFlow, without Keras: a tf.Module, a gradient tape and tf.function.

Tensors are channels last, the layout TensorFlow's convolutions are written for. On a GPU the graph is compiled with
XLA; on a CPU oneDNN's convolutions are about twice as fast as XLA's.
"""

import numpy as np
import tensorflow as tf

from workloads.common import bench
from workloads.tensorflow import runtime

FLATTENED = (512, 100, 8, 8)  # fc1's weight, its columns as what they multiply: C, H, W


class Cnn(tf.Module):
    def __init__(self, weights, dropout_conv, dropout_dense, seed):
        super().__init__()
        self.weights = {name: tf.Variable(array, name=name) for name, array in weights.items()}
        self.dropout_conv = dropout_conv
        self.dropout_dense = dropout_dense
        self.seed = seed
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)  # training steps so far

    def conv(self, x, name):
        x = tf.nn.conv2d(x, self.weights[name + ".weight"], strides=1, padding="SAME")
        return tf.nn.bias_add(x, self.weights[name + ".bias"])

    def dense(self, x, name):
        return tf.nn.bias_add(tf.matmul(x, self.weights[name + ".weight"]), self.weights[name + ".bias"])

    def dropout(self, x, rate, layer):
        """Zero numbers with probability `rate`: by seed, layer and step alone, as XLA ignores TensorFlow's own seed."""
        seed = tf.stack([tf.constant(self.seed + layer, tf.int64), self.step])
        return tf.nn.experimental.stateless_dropout(x, rate, seed)

    def __call__(self, x, training):
        dropout_conv = self.dropout_conv if training else 0
        dropout_dense = self.dropout_dense if training else 0
        x = tf.nn.relu(self.conv(x, "conv1"))
        x = tf.nn.relu(tf.nn.max_pool2d(self.conv(x, "conv2"), 2, 2, "VALID"))
        x = self.dropout(x, dropout_conv, layer=1)
        x = tf.nn.relu(self.conv(x, "conv3"))
        x = tf.nn.relu(tf.nn.max_pool2d(self.conv(x, "conv4"), 2, 2, "VALID"))
        x = self.dropout(x, dropout_conv, layer=2)
        x = tf.nn.relu(self.dense(tf.reshape(x, (-1, 8 * 8 * 100)), "fc1"))
        return self.dense(self.dropout(x, dropout_dense, layer=3), "fc2")


class Momentum(tf.Module):
    """v <- momentum v + g, w <- w - lr v, in one kernel per variable."""

    def __init__(self, variables, lr, momentum):
        super().__init__()
        self.parameters = variables
        self.velocities = [tf.Variable(tf.zeros_like(variable)) for variable in variables]
        self.lr = lr
        self.momentum = momentum

    def apply(self, gradients):
        for variable, velocity, gradient in zip(self.parameters, self.velocities, gradients):
            tf.raw_ops.ResourceApplyMomentum(
                var=variable.handle, accum=velocity.handle, lr=self.lr, grad=gradient, momentum=self.momentum
            )


def build(job):
    weights = job.weights()
    # The inputs of fc1 arrive in H, W, C order.
    weights["fc1.weight"] = weights["fc1.weight"].reshape(FLATTENED).transpose(0, 2, 3, 1).reshape(512, 6400)
    for name, array in weights.items():
        weights[name] = np.ascontiguousarray(array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T)
    return Cnn(weights, job.settings["dropout_conv"], job.settings["dropout_dense"], job.seed)


def weights_of(model):
    """The weights as they are now, under the names and in the shapes they came with."""
    weights = {}
    for name, variable in model.weights.items():
        array = variable.numpy()
        weights[name] = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
    n, c, h, w = FLATTENED
    weights["fc1.weight"] = weights["fc1.weight"].reshape(n, h, w, c).transpose(0, 3, 1, 2).reshape(n, -1)
    return weights


def run(job):
    runtime.start(job)
    x_train, y_train, x_test, y_test = job.data(layout="NHWC")
    model = build(job)
    optimizer = Momentum(model.trainable_variables, job.settings["lr"], job.settings["momentum"])

    @tf.function(jit_compile=job.device == "gpu")
    def train_step(x, y):
        with tf.GradientTape() as tape:
            logits = model(x, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
        optimizer.apply(tape.gradient(loss, optimizer.parameters))
        model.step.assign_add(1)
        return loss

    @tf.function(input_signature=[tf.TensorSpec((None, 32, 32, 3))])
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
        epoch.score(predict, x_test, y_test)


if __name__ == "__main__":
    bench.main(run)
