"""A GRU of Lasagne's own layers, as in its recurrent example: EmbeddingLayer, GRULayer, and its last state.

https://github.com/Lasagne/Lasagne/blob/master/examples/recurrent.py
"""

import time

import pooling  # noqa: F401  (before Lasagne)

# isort: split
import lasagne
import peer
import theano
from lasagne.layers import DenseLayer, EmbeddingLayer, GRULayer, InputLayer, SliceLayer
from lasagne.nonlinearities import softmax
from theano import tensor as T

BATCH = peer.SETTINGS["batch"]

x, y = T.imatrix("words"), T.ivector("targets")
net = EmbeddingLayer(InputLayer((BATCH, 150), x), 30000, 125)
net = SliceLayer(GRULayer(net, 100), -1, axis=1)
net = DenseLayer(net, 2, nonlinearity=softmax)
loss = lasagne.objectives.categorical_crossentropy(lasagne.layers.get_output(net), y).mean()
parameters = lasagne.layers.get_all_params(net, trainable=True)
options = {name: peer.SETTINGS[name] for name in ("beta1", "beta2", "epsilon")}
updates = lasagne.updates.adam(loss, parameters, peer.SETTINGS["lr"], **options)
train_step = theano.function([x, y], loss, updates=updates)


def train(order):
    for first in range(0, len(order), BATCH):
        chosen = order[first : first + BATCH]
        train_step(words[chosen], classes[chosen])


words, classes = peer.imdb()
classes = classes.astype("int32")

train(peer.np.arange(2 * BATCH))
began = time.perf_counter()
train(peer.RANDOM.permutation(len(words)))
peer.report(len(words), time.perf_counter() - began)
