"""A GPT of Lasagne's layers, and of layers of one's own where it has none, as its guide writes them.

https://lasagne.readthedocs.io/en/latest/user/custom_layers.html
https://lasagne.readthedocs.io/en/latest/modules/updates.html
"""

import math
import time

import pooling  # noqa: F401  (before Lasagne)

# isort: split
import lasagne
import peer
import theano
from lasagne.init import Constant, Normal
from lasagne.layers import DenseLayer, ElemwiseSumLayer, EmbeddingLayer, InputLayer, ReshapeLayer, dropout
from theano import tensor as T

S, np = peer.SETTINGS, peer.np
BATCH, CONTEXT, WIDTH, HEADS = S["batch"], S["context"], S["width"], S["heads"]
SIZE = WIDTH // HEADS
FUTURE = np.triu(np.full((CONTEXT, CONTEXT), -1e9, np.float32), k=1)


class NormLayer(lasagne.layers.Layer):
    def __init__(self, incoming):
        super().__init__(incoming)
        self.gain = self.add_param(Constant(1), (WIDTH,), regularizable=False)

    def get_output_for(self, x, **options):
        x = x - x.mean(axis=1, keepdims=True)
        return x * self.gain / T.sqrt(T.sqr(x).mean(axis=1, keepdims=True) + np.float32(1e-5))


class PositionLayer(lasagne.layers.Layer):
    def __init__(self, incoming):
        super().__init__(incoming)
        self.W = self.add_param(Normal(0.02), (CONTEXT, WIDTH))

    def get_output_for(self, x, **options):
        return x + self.W


def heads(x, part):
    """The queries (part 0), keys or values of all heads, (BATCH * HEADS, CONTEXT, SIZE)."""
    x = x[:, part * WIDTH : (part + 1) * WIDTH].reshape((BATCH, CONTEXT, HEADS, SIZE))
    return x.dimshuffle(0, 2, 1, 3).reshape((BATCH * HEADS, CONTEXT, SIZE))


class SharesLayer(lasagne.layers.Layer):
    def get_output_shape_for(self, shape):
        return (BATCH * HEADS, CONTEXT, CONTEXT)

    def get_output_for(self, qkv, **options):
        scores = T.batched_dot(heads(qkv, 0), heads(qkv, 1).dimshuffle(0, 2, 1)) / np.float32(math.sqrt(SIZE)) + FUTURE
        return T.nnet.softmax(scores.reshape((-1, CONTEXT))).reshape((BATCH * HEADS, CONTEXT, CONTEXT))


class MixLayer(lasagne.layers.MergeLayer):
    def get_output_shape_for(self, shapes):
        return (BATCH * CONTEXT, WIDTH)

    def get_output_for(self, inputs, **options):
        y = T.batched_dot(inputs[0], heads(inputs[1], 2)).reshape((BATCH, HEADS, CONTEXT, SIZE))
        return y.dimshuffle(0, 2, 1, 3).reshape((BATCH * CONTEXT, WIDTH))


def gelu(x):
    return 0.5 * x * (1 + T.erf(x * np.float32(math.sqrt(0.5))))


def dense(net, units, nonlinearity=None):
    return DenseLayer(net, units, W=Normal(0.02), b=None, nonlinearity=nonlinearity)


ids, targets, rate = T.imatrix("ids"), T.imatrix("targets"), T.scalar("rate")
token = EmbeddingLayer(InputLayer((BATCH, CONTEXT), ids), 65, WIDTH, W=Normal(0.02))
net = dropout(ReshapeLayer(PositionLayer(token), (BATCH * CONTEXT, WIDTH)), S["dropout"])
for _ in range(S["layers"]):
    qkv = dense(NormLayer(net), 3 * WIDTH)
    mixed = MixLayer([dropout(SharesLayer(qkv), S["dropout"]), qkv])
    net = ElemwiseSumLayer([net, dropout(dense(mixed, WIDTH), S["dropout"])])
    net = ElemwiseSumLayer([net, dropout(dense(dense(NormLayer(net), 4 * WIDTH, gelu), WIDTH), S["dropout"])])
net = NormLayer(net)
shares = T.nnet.softmax(T.dot(lasagne.layers.get_output(net), token.W.T))
loss = lasagne.objectives.categorical_crossentropy(shares, targets.flatten()).mean()
parameters = lasagne.layers.get_all_params(net, trainable=True)
gradients = lasagne.updates.total_norm_constraint(T.grad(loss, parameters), S["clip"])
options = {name: S[name] for name in ("beta1", "beta2", "epsilon")}
updates = lasagne.updates.adam(gradients, parameters, rate, **options)
for parameter in lasagne.layers.get_all_params(net, regularizable=True):
    updates[parameter] -= rate * np.float32(S["weight_decay"]) * parameter
train_step = theano.function([ids, targets, rate], loss, updates=updates)


def train(steps):
    for step in range(steps):
        places = peer.RANDOM.randint(len(text) - CONTEXT, size=(BATCH, 1)) + np.arange(CONTEXT)
        train_step(text[places], text[places + 1], np.float32(S["lr"] * peer.share_of_lr(step)))


text = peer.text()
train(3)
began = time.perf_counter()
train(S["steps"])
peer.report(S["steps"] * BATCH * CONTEXT, time.perf_counter() - began)
