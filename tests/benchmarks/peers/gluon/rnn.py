"""A GRU in Gluon: gluon.rnn.GRU, hybridized with static memory and shapes, as MXNet's performance guide says.

https://mxnet.apache.org/versions/1.9.1/api/python/docs/api/gluon/rnn/index.html
https://mxnet.apache.org/versions/1.9.1/api/python/docs/tutorials/packages/gluon/blocks/hybridize.html
"""

import time

import mxnet as mx
import peer
from mxnet import autograd, gluon
from mxnet.gluon import nn

BATCH = peer.SETTINGS["batch"]


class Net(gluon.HybridBlock):
    def __init__(self):
        super().__init__()
        with self.name_scope():
            self.embedding = nn.Embedding(30000, 125)
            self.gru = gluon.rnn.GRU(100, layout="TNC", input_size=125)
            self.fc = nn.Dense(2)

    def hybrid_forward(self, F, words):
        _, (last,) = self.gru(self.embedding(F.transpose(words)), F.zeros(shape=(1, BATCH, 100)))
        return self.fc(F.reshape(last, shape=(BATCH, 100)))


net = Net()
net.initialize(mx.init.Xavier())
net.hybridize(static_alloc=True, static_shape=True)
criterion = gluon.loss.SoftmaxCrossEntropyLoss()
criterion.hybridize(static_alloc=True, static_shape=True)
options = {name: peer.SETTINGS[name] for name in ("beta1", "beta2", "epsilon")}
trainer = gluon.Trainer(net.collect_params(), "adam", dict(options, learning_rate=peer.SETTINGS["lr"]))


def train(batches):
    for batch in batches:
        with autograd.record():
            loss = criterion(net(batch.data[0]), batch.label[0])
        loss.backward()
        trainer.step(BATCH)
    mx.nd.waitall()


words, classes = peer.imdb()
batches = mx.io.NDArrayIter(words, classes, BATCH, shuffle=True, last_batch_handle="discard")

train([next(batches) for _ in range(2)])
batches.reset()
began = time.perf_counter()
train(batches)
peer.report(len(words), time.perf_counter() - began)
