"""GRU on IMDB reviews in Lasagne.

Sequences are time first, the axis that Theano's scan goes along.
"""

import lasagne
import numpy as np
import theano
from lasagne.layers import DenseLayer, DimshuffleLayer, EmbeddingLayer, InputLayer
from lasagne.nonlinearities import softmax
from theano import tensor as T

from workloads.common import bench
from workloads.lasagne import runtime
from workloads.lasagne.layers import GRULayer

VOCABULARY, EMBEDDING, UNITS, CLASSES, LENGTH = 30000, 125, 100, 2, 150


def build(job, tokens):
    w = job.weights()
    layer = DimshuffleLayer(InputLayer((job.settings["batch"], LENGTH), tokens), (1, 0))
    layer = EmbeddingLayer(layer, VOCABULARY, EMBEDDING, W=w["embedding.weight"])
    matrices = {"W_ih": w["gru.weight_ih"].T, "W_hh": w["gru.weight_hh"].T}
    layer = GRULayer(layer, UNITS, b_ih=w["gru.bias_ih"], b_hh=w["gru.bias_hh"], **matrices)
    return DenseLayer(layer, CLASSES, W=w["fc.weight"].T, b=w["fc.bias"], nonlinearity=softmax)


def weights_of(network):
    """The weights as they are now, under the names and in the shapes they came with."""
    embedding, gru, fc = (layer for layer in lasagne.layers.get_all_layers(network) if layer.params)
    return {
        "embedding.weight": embedding.W.get_value(),
        "gru.weight_ih": gru.W_ih.get_value().T,
        "gru.weight_hh": gru.W_hh.get_value().T,
        "gru.bias_ih": gru.b_ih.get_value(),
        "gru.bias_hh": gru.b_hh.get_value(),
        "fc.weight": fc.W.get_value().T,
        "fc.bias": fc.b.get_value(),
    }


def run(job):
    runtime.start(job, fused=False)
    x_train, y_train, x_test, y_test = job.data()
    tokens, labels = T.imatrix("tokens"), T.ivector("labels")
    network = build(job, tokens)
    parameters = lasagne.layers.get_all_params(network, trainable=True)
    loss = theano.shared(np.float32(0), "loss")  # stays on the device until it is read

    with job.compiling():
        probabilities = lasagne.layers.get_output(network)
        mean_loss = lasagne.objectives.categorical_crossentropy(probabilities, labels).mean()
        updates = runtime.adam(
            mean_loss,
            parameters,
            learning_rate=job.settings["lr"],
            beta1=job.settings["beta1"],
            beta2=job.settings["beta2"],
            epsilon=job.settings["epsilon"],
        )
        updates[loss] = mean_loss
        train_step = theano.function([tokens, labels], updates=updates)
        predict = theano.function([tokens], probabilities)

    job.ready()
    for epoch in job.epochs(sync=lambda: runtime.synchronize(parameters), weights=lambda: weights_of(network)):
        for x, y in epoch.batches(x_train, y_train):
            train_step(x, y)
            epoch.step(loss.get_value)
        epoch.score(predict, x_test, y_test, pad=True)


if __name__ == "__main__":
    bench.main(run)
