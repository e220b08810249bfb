"""GRU on IMDB reviews in TensorFlow, without Keras: a tf.Module, a gradient tape and tf.function.

On a GPU the recurrent layer is cuDNN's fused kernel; elsewhere TensorFlow has none for this form of the GRU, so it is
a loop inside the graph. Sequences are time first in both.
"""

import tensorflow as tf

from workloads.common import bench
from workloads.tensorflow import runtime

UNITS, LENGTH = 100, 150


class Rnn(tf.Module):
    def __init__(self, weights, cudnn):
        super().__init__()
        self.weights = {name: tf.Variable(array, name=name) for name, array in weights.items()}
        self.gru = self.cudnn_gru if cudnn else self.loop_gru

    def cudnn_gru(self, x):
        """The last state of the GRU over x, (time, batch, features)."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")  # cuDNN's own order, gates r, z, n as here
        parameters = tf.concat([tf.reshape(self.weights["gru." + name], [-1]) for name in names], axis=0)
        _, state, _, _, _ = tf.raw_ops.CudnnRNNV3(
            input=x,
            input_h=tf.zeros((1, tf.shape(x)[1], UNITS)),
            input_c=0,
            params=parameters,
            sequence_lengths=tf.fill([tf.shape(x)[1]], LENGTH),
            rnn_mode="gru",
        )
        return state[0]

    def loop_gru(self, x):
        """The same, step by step. The input's part of all gates is one matrix product for all time steps."""
        x = tf.reshape(x, (-1, x.shape[2]))
        x = self.linear(x, "gru.weight_ih", "gru.bias_ih")
        x = tf.reshape(x, (LENGTH, -1, 3 * UNITS))
        steps = tf.TensorArray(tf.float32, LENGTH).unstack(x)
        h = tf.zeros((tf.shape(x)[1], UNITS))
        for t in tf.range(LENGTH):
            x_r, x_z, x_n = tf.split(steps.read(t), 3, axis=1)
            h_r, h_z, h_n = tf.split(self.linear(h, "gru.weight_hh", "gru.bias_hh"), 3, axis=1)
            r = tf.sigmoid(x_r + h_r)
            z = tf.sigmoid(x_z + h_z)
            n = tf.tanh(x_n + r * h_n)
            h = n + z * (h - n)
        return h

    def linear(self, x, weight, bias):
        return tf.nn.bias_add(tf.matmul(x, self.weights[weight], transpose_b=True), self.weights[bias])

    def __call__(self, tokens):
        x = tf.gather(self.weights["embedding.weight"], tf.transpose(tokens))
        return self.linear(self.gru(x), "fc.weight", "fc.bias")


class Adam(tf.Module):
    """Adam with bias correction, in one kernel per variable."""

    def __init__(self, variables, lr, beta1, beta2, epsilon):
        super().__init__()
        self.parameters = variables
        self.means = [tf.Variable(tf.zeros_like(variable)) for variable in variables]
        self.variances = [tf.Variable(tf.zeros_like(variable)) for variable in variables]
        self.beta1_power = tf.Variable(1.0)
        self.beta2_power = tf.Variable(1.0)
        self.settings = {"lr": lr, "beta1": beta1, "beta2": beta2}
        self.epsilon = epsilon

    def apply(self, gradients):
        powers = {
            "beta1_power": self.beta1_power.assign(self.beta1_power * self.settings["beta1"]),
            "beta2_power": self.beta2_power.assign(self.beta2_power * self.settings["beta2"]),
        }
        # The kernel adds epsilon to the root of the variance before bias correction, Adam's definition after it.
        epsilon = self.epsilon * tf.sqrt(1 - powers["beta2_power"])
        for variable, mean, variance, gradient in zip(self.parameters, self.means, self.variances, gradients):
            # The embedding's gradient is sparse, but Adam moves every row at every step.
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=mean.handle,
                v=variance.handle,
                grad=tf.convert_to_tensor(gradient),
                epsilon=epsilon,
                **powers,
                **self.settings,
            )


def build(job):
    return Rnn(job.weights(), cudnn=job.device == "gpu")


def weights_of(model):
    """The weights as they are now, under the names they came with."""
    return {name: variable.numpy() for name, variable in model.weights.items()}


def run(job):
    runtime.start(job, fused=job.device == "gpu")
    x_train, y_train, x_test, y_test = job.data()
    model = build(job)
    settings = {name: job.settings[name] for name in ("lr", "beta1", "beta2", "epsilon")}
    optimizer = Adam(model.trainable_variables, **settings)

    @tf.function
    def train_step(tokens, y):
        with tf.GradientTape() as tape:
            logits = model(tokens)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
        optimizer.apply(tape.gradient(loss, optimizer.parameters))
        return loss

    @tf.function(input_signature=[tf.TensorSpec((None, LENGTH), tf.int32)])
    def predict(tokens):
        return model(tokens)

    with job.compiling(), runtime.unchanged(optimizer.variables):
        batch = job.settings["batch"]
        train_step(x_train[:batch], y_train[:batch])
        predict(x_test[:batch])
    job.ready()
    for epoch in job.epochs(sync=runtime.synchronize, weights=lambda: weights_of(model)):
        for tokens, y in epoch.batches(x_train, y_train):
            epoch.step(train_step(tokens, y))
        epoch.score(predict, x_test, y_test)


if __name__ == "__main__":
    bench.main(run)
