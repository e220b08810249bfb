"""A small CNN as a symbol that mx.mod.Module trains from an NDArrayIter, as in MXNet's Module tutorials.

https://mxnet.apache.org/versions/1.9.1/api/python/docs/api/legacy/module/index.html
https://github.com/apache/mxnet/blob/v1.x/example/module/mnist_mlp.py
"""

import time

import mxnet as mx
import peer

BATCH = peer.SETTINGS["batch"]


def conv_relu(x, filters, pool=False):
    x = mx.sym.Convolution(x, kernel=(3, 3), pad=(1, 1), num_filter=filters)
    x = mx.sym.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="max") if pool else x
    return mx.sym.Activation(x, act_type="relu")


x = conv_relu(conv_relu(mx.sym.Variable("data"), 50), 50, pool=True)
x = mx.sym.Dropout(x, p=peer.SETTINGS["dropout_conv"])
x = mx.sym.Dropout(conv_relu(conv_relu(x, 100), 100, pool=True), p=peer.SETTINGS["dropout_conv"])
x = mx.sym.Activation(mx.sym.FullyConnected(mx.sym.flatten(x), num_hidden=512), act_type="relu")
x = mx.sym.FullyConnected(mx.sym.Dropout(x, p=peer.SETTINGS["dropout_dense"]), num_hidden=10)
module = mx.mod.Module(mx.sym.SoftmaxOutput(x, name="softmax"), context=mx.cpu())


def train(batches):
    for batch in batches:
        module.forward_backward(batch)
        module.update()
    mx.nd.waitall()


images, classes = peer.cifar10()
batches = mx.io.NDArrayIter(images, classes, BATCH, shuffle=True, last_batch_handle="discard")
module.bind(batches.provide_data, batches.provide_label)
module.init_params(mx.init.Xavier())
options = {"learning_rate": peer.SETTINGS["lr"], "momentum": peer.SETTINGS["momentum"]}
module.init_optimizer(optimizer="sgd", optimizer_params=options)

train([next(batches) for _ in range(2)])
batches.reset()
began = time.perf_counter()
train(batches)
peer.report(len(images), time.perf_counter() - began)
