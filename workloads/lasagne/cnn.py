"""CNN on CIFAR-10 in Lasagne."""

import lasagne
import numpy as np
import theano
from lasagne.layers import DenseLayer, DropoutLayer, InputLayer, MaxPool2DLayer, NonlinearityLayer
from lasagne.nonlinearities import identity, rectify, softmax
from theano import tensor as T

from workloads.common import bench
from workloads.lasagne import runtime
from workloads.lasagne.layers import Conv2DLayer


def build(job, images):
    w = job.weights()
    dropout_conv, dropout_dense = job.settings["dropout_conv"], job.settings["dropout_dense"]

    def convolution(layer, name, filters, nonlinearity):
        W, b = w[name + ".weight"], w[name + ".bias"]
        return Conv2DLayer(layer, filters, 3, pad=1, W=W, b=b, nonlinearity=nonlinearity, name=name)

    def dense(layer, name, units, nonlinearity):
        W, b = w[name + ".weight"].T, w[name + ".bias"]
        return DenseLayer(layer, units, W=W, b=b, nonlinearity=nonlinearity, name=name)

    layer = InputLayer((None, 3, 32, 32), images)
    layer = convolution(layer, "conv1", 50, rectify)
    layer = convolution(layer, "conv2", 50, identity)
    layer = NonlinearityLayer(MaxPool2DLayer(layer, 2), rectify)
    layer = DropoutLayer(layer, dropout_conv)
    layer = convolution(layer, "conv3", 100, rectify)
    layer = convolution(layer, "conv4", 100, identity)
    layer = NonlinearityLayer(MaxPool2DLayer(layer, 2), rectify)
    layer = DropoutLayer(layer, dropout_conv)
    layer = dense(layer, "fc1", 512, rectify)
    return dense(DropoutLayer(layer, dropout_dense), "fc2", 10, softmax)


def weights_of(network):
    """The weights as they are now, under the names and in the shapes they came with."""
    weights = {}
    for layer in lasagne.layers.get_all_layers(network):
        if layer.params:
            W, b = layer.W.get_value(), layer.b.get_value()
            weights[layer.name + ".weight"] = W.T if isinstance(layer, DenseLayer) else W
            weights[layer.name + ".bias"] = b
    return weights


def run(job):
    runtime.start(job)
    x_train, y_train, x_test, y_test = job.data()
    images, labels = T.tensor4("images"), T.ivector("labels")
    network = build(job, images)
    parameters = lasagne.layers.get_all_params(network, trainable=True)
    loss = theano.shared(np.float32(0), "loss")  # stays on the device until it is read

    with job.compiling():
        probabilities = lasagne.layers.get_output(network)
        mean_loss = lasagne.objectives.categorical_crossentropy(probabilities, labels).mean()
        updates = lasagne.updates.momentum(mean_loss, parameters, job.settings["lr"], job.settings["momentum"])
        updates[loss] = mean_loss
        train_step = theano.function([images, labels], updates=updates)
        predict = theano.function([images], lasagne.layers.get_output(network, deterministic=True))

    job.ready()
    for epoch in job.epochs(sync=lambda: runtime.synchronize(parameters), weights=lambda: weights_of(network)):
        for x, y in epoch.batches(x_train, y_train):
            train_step(x, y)
            epoch.step(loss.get_value)
        epoch.score(predict, x_test, y_test)


if __name__ == "__main__":
    bench.main(run)
