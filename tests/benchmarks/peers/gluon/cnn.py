"""A small CNN in Gluon, hybridized with static memory and shapes, as MXNet's performance guide says.

https://mxnet.apache.org/versions/1.9.1/api/python/docs/tutorials/packages/gluon/blocks/hybridize.html
https://github.com/apache/mxnet/blob/v1.x/example/gluon/image_classification.py
"""

import time

import mxnet as mx
import peer
from mxnet import autograd, gluon
from mxnet.gluon import nn

BATCH = peer.SETTINGS["batch"]

net = nn.HybridSequential()
for filters in 50, 100:
    net.add(nn.Conv2D(filters, 3, padding=1, activation="relu"), nn.Conv2D(filters, 3, padding=1))
    net.add(nn.MaxPool2D(2), nn.Activation("relu"), nn.Dropout(peer.SETTINGS["dropout_conv"]))
net.add(nn.Dense(512, activation="relu"), nn.Dropout(peer.SETTINGS["dropout_dense"]), nn.Dense(10))
net.initialize(mx.init.Xavier())
net.hybridize(static_alloc=True, static_shape=True)
criterion = gluon.loss.SoftmaxCrossEntropyLoss()
criterion.hybridize(static_alloc=True, static_shape=True)
options = {"learning_rate": peer.SETTINGS["lr"], "momentum": peer.SETTINGS["momentum"]}
trainer = gluon.Trainer(net.collect_params(), "sgd", options)


def train(batches):
    for batch in batches:
        with autograd.record():
            loss = criterion(net(batch.data[0]), batch.label[0])
        loss.backward()
        trainer.step(BATCH)
    mx.nd.waitall()


images, classes = peer.cifar10()
batches = mx.io.NDArrayIter(images, classes, BATCH, shuffle=True, last_batch_handle="discard")

train([next(batches) for _ in range(2)])
batches.reset()
began = time.perf_counter()
train(batches)
peer.report(len(images), time.perf_counter() - began)
