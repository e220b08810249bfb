"""Features of ResNet-50 as Lasagne's collection of models builds it: BatchNorm behind each Conv2DLayer.

BatchNorm is a layer of Lasagne since 0.2; here it is written as there.

https://github.com/Lasagne/Recipes/blob/master/modelzoo/resnet50.py
"""

import time

import pooling  # noqa: F401  (before Lasagne)

# isort: split
import lasagne
import peer
import theano
from lasagne.init import Constant
from lasagne.layers import Conv2DLayer, ElemwiseSumLayer, GlobalPoolLayer, InputLayer, MaxPool2DLayer, NonlinearityLayer
from lasagne.nonlinearities import rectify
from theano import tensor as T

BATCH = peer.SETTINGS["batch"]


class BatchNorm(lasagne.layers.Layer):
    def __init__(self, incoming):
        super().__init__(incoming)
        shape = self.input_shape[1:2]
        self.gamma, self.beta = self.add_param(Constant(1), shape), self.add_param(Constant(0), shape)
        self.mean, self.inv_std = self.add_param(Constant(0), shape), self.add_param(Constant(1), shape)

    def get_output_for(self, x, **options):
        gamma, beta, mean, inv_std = (
            each.dimshuffle("x", 0, "x", "x") for each in (self.gamma, self.beta, self.mean, self.inv_std)
        )
        return (x - mean) * (gamma * inv_std) + beta


def convolution(net, filters, size, stride, activation=rectify):
    net = Conv2DLayer(net, filters, size, stride, pad=size // 2, b=None, nonlinearity=None)
    net = BatchNorm(net)
    return NonlinearityLayer(net, activation) if activation else net


def block(net, filters, stride):
    first, second = (stride, 1) if peer.SETTINGS["variant"] == "v1" else (1, stride)
    right = convolution(net, filters, 1, first)
    right = convolution(right, filters, 3, second)
    right = convolution(right, 4 * filters, 1, 1, activation=None)
    same = stride == 1 and net.output_shape[1] == 4 * filters
    left = net if same else convolution(net, 4 * filters, 1, stride, activation=None)
    return NonlinearityLayer(ElemwiseSumLayer([right, left]), rectify)


x = T.tensor4("images")
net = convolution(InputLayer((BATCH, 3, 224, 224), x), 64, 7, 2)
net = MaxPool2DLayer(net, 3, 2, pad=1)
for blocks, filters, stride in ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2)):
    for number in range(blocks):
        net = block(net, filters, 1 if number else stride)
features = theano.function([x], lasagne.layers.get_output(GlobalPoolLayer(net), deterministic=True))


def extract(batches):
    return [features(batch) for batch in batches]


photos = peer.photos()

extract(photos[:1])
began = time.perf_counter()
extract(photos)
peer.report(photos.shape[0] * photos.shape[1], time.perf_counter() - began)
