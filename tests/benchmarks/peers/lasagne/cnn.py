"""A small CNN as in Lasagne's MNIST example: layers, an expression for the loss, and one Theano function for a step.

https://github.com/Lasagne/Lasagne/blob/master/examples/mnist.py
https://lasagne.readthedocs.io/en/latest/user/tutorial.html
"""

import time

import pooling  # noqa: F401  (before Lasagne)

# isort: split
import lasagne
import peer
import theano
from lasagne.layers import Conv2DLayer, DenseLayer, InputLayer, MaxPool2DLayer, NonlinearityLayer, dropout
from lasagne.nonlinearities import linear, rectify, softmax
from theano import tensor as T

BATCH = peer.SETTINGS["batch"]


def network(x):
    net = InputLayer((None, 3, 32, 32), x)
    for filters in (50, 100):
        net = Conv2DLayer(net, filters, 3, pad="same", nonlinearity=rectify)
        net = Conv2DLayer(net, filters, 3, pad="same", nonlinearity=linear)
        net = NonlinearityLayer(MaxPool2DLayer(net, 2), rectify)
        net = dropout(net, peer.SETTINGS["dropout_conv"])
    net = DenseLayer(net, 512, nonlinearity=rectify)
    return DenseLayer(dropout(net, peer.SETTINGS["dropout_dense"]), 10, nonlinearity=softmax)


x, y = T.tensor4("inputs"), T.ivector("targets")
net = network(x)
loss = lasagne.objectives.categorical_crossentropy(lasagne.layers.get_output(net), y).mean()
parameters = lasagne.layers.get_all_params(net, trainable=True)
updates = lasagne.updates.momentum(loss, parameters, peer.SETTINGS["lr"], peer.SETTINGS["momentum"])
train_step = theano.function([x, y], loss, updates=updates)


def train(order):
    for first in range(0, len(order), BATCH):
        chosen = order[first : first + BATCH]
        train_step(images[chosen], classes[chosen])


images, classes = peer.cifar10()
classes = classes.astype("int32")

train(peer.np.arange(2 * BATCH))
began = time.perf_counter()
train(peer.RANDOM.permutation(len(images)))
peer.report(len(images), time.perf_counter() - began)
