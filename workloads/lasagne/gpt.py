"""Character-level GPT on Tiny Shakespeare in Lasagne.

One function, compiled once, is a whole training step: the model, its gradient, the clipping and AdamW.
"""

import math

import lasagne
import numpy as np
import theano
from lasagne.layers import DenseLayer, DropoutLayer, ElemwiseSumLayer, EmbeddingLayer, InputLayer, ReshapeLayer
from lasagne.nonlinearities import identity
from theano import tensor as T

from workloads.common import bench
from workloads.lasagne import runtime
from workloads.lasagne.transformer import AttentionLayer, LayerNormLayer, PositionLayer, TiedLayer, gelu

CHARACTERS = 65


def build(job, ids):
    """The layer of logits, (batch · context, characters), of characters `ids`, (batch, context)."""
    w = job.weights()
    batch, context, width = (job.settings[name] for name in ("batch", "context", "width"))
    dropout = job.settings["dropout"]

    def dense(layer, name, nonlinearity=identity):
        W = np.ascontiguousarray(w[name].T)
        return DenseLayer(layer, W.shape[1], W=W, b=None, nonlinearity=nonlinearity, name=name)

    def norm(layer, name):
        return LayerNormLayer(layer, w[name], name=name)

    layer = InputLayer((batch, context), ids)
    token = EmbeddingLayer(layer, CHARACTERS, width, W=w["token.weight"], name="token.weight")
    layer = PositionLayer(token, w["position.weight"], name="position.weight")
    layer = DropoutLayer(ReshapeLayer(layer, (batch * context, width)), dropout)
    for number in range(job.settings["layers"]):
        block = "blocks.{}.".format(number)
        branch = dense(norm(layer, block + "norm1.weight"), block + "qkv.weight")
        branch = AttentionLayer(branch, context, job.settings["heads"], dropout)
        branch = DropoutLayer(dense(branch, block + "out.weight"), dropout)
        layer = ElemwiseSumLayer([layer, branch])
        branch = dense(norm(layer, block + "norm2.weight"), block + "up.weight", gelu)
        branch = DropoutLayer(dense(branch, block + "down.weight"), dropout)
        layer = ElemwiseSumLayer([layer, branch])
    return TiedLayer(norm(layer, "norm.weight"), token.W)


def weights_of(network):
    """The weights as they are now, under the names and in the shapes they came with."""
    weights = {}
    for layer in lasagne.layers.get_all_layers(network):
        if layer.params:
            W = layer.W.get_value()
            weights[layer.name] = W.T if isinstance(layer, DenseLayer) else W
    return weights


def adamw(loss, network, learning_rate, settings):
    """The updates of AdamW on the clipped gradient; all but the gains of LayerNorm decay."""
    parameters = lasagne.layers.get_all_params(network, trainable=True)
    gradients = lasagne.updates.total_norm_constraint(T.grad(loss, parameters), settings["clip"], epsilon=0)
    updates = runtime.adam(
        gradients,
        parameters,
        learning_rate=learning_rate,
        beta1=settings["beta1"],
        beta2=settings["beta2"],
        epsilon=settings["epsilon"],
    )
    for parameter in lasagne.layers.get_all_params(network, regularizable=True):
        updates[parameter] -= learning_rate * settings["weight_decay"] * parameter
    return updates


def learning_rate_of(step, lr, lr_end, warmup, decay_steps):
    """Of step 0, 1, …: up along a line for `warmup` steps, then down along half a cosine to lr · lr_end."""
    if step < warmup:
        return lr * (step + 1) / (warmup + 1)
    done = min(1.0, (step - warmup) / max(1, decay_steps - 1 - warmup))
    return lr * (lr_end + (1 - lr_end) * 0.5 * (1 + math.cos(math.pi * done)))


def run(job):
    runtime.start(job)
    x_train, y_train, x_test, y_test = job.windows()
    ids, labels, learning_rate = T.imatrix("ids"), T.imatrix("labels"), T.scalar("learning_rate")
    network = build(job, ids)
    parameters = lasagne.layers.get_all_params(network, trainable=True)
    loss = theano.shared(np.float32(0), "loss")  # stays on the device until it is read
    schedule = {name: job.settings[name] for name in ("lr", "lr_end", "warmup", "decay_steps")}

    with job.compiling():
        probabilities = T.nnet.softmax(lasagne.layers.get_output(network))
        mean_loss = lasagne.objectives.categorical_crossentropy(probabilities, labels.flatten()).mean()
        updates = adamw(mean_loss, network, learning_rate, job.settings)
        updates[loss] = mean_loss
        # Theano merges a product of matrices with the number that multiplies it. Where the plain product is needed as
        # well, it then computes both: each gradient for the norm, and once more for its clipped self.
        mode = theano.compile.get_default_mode().excluding("local_dot22_to_dot22scalar")
        train_step = theano.function([ids, labels, learning_rate], updates=updates, mode=mode)
        logits = lasagne.layers.get_output(network, deterministic=True)
        logits = logits.reshape((job.settings["batch"], -1, CHARACTERS))
        # Both functions together would keep the memory of all that they compute, to be fast: one is enough.
        predict = theano.function([ids], logits, mode=mode.clone({"allow_gc": True}))

    job.ready()
    steps = 0
    for epoch in job.epochs(sync=lambda: runtime.synchronize(parameters), weights=lambda: weights_of(network)):
        for x, y in epoch.batches(x_train, y_train):
            train_step(x, y, np.float32(learning_rate_of(steps, **schedule)))
            steps += 1
            epoch.step(loss.get_value)
        epoch.score_loss(predict, x_test, y_test, pad=True)


if __name__ == "__main__":
    bench.main(run)
