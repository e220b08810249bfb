"""A GRU with Chainer's NStepGRU, the link its text classification example builds on, in a Trainer.

https://docs.chainer.org/en/stable/reference/generated/chainer.links.NStepGRU.html
https://github.com/chainer/chainer/blob/master/examples/text_classification/nets.py
"""

import time

import chainer
import chainer.functions as F
import chainer.links as L
import peer
from chainer import training

BATCH = peer.SETTINGS["batch"]


class Net(chainer.Chain):
    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.embed = L.EmbedID(30000, 125)
            self.gru = L.NStepGRU(1, 125, 100, 0.0)
            self.fc = L.Linear(100, 2)

    def forward(self, words):
        embedded = F.separate(self.embed(words), axis=0)
        last, _ = self.gru(None, embedded)
        return self.fc(last[0])


words, classes = peer.imdb()
model = L.Classifier(Net())
model.compute_accuracy = False  # it is no part of the training
options = {"beta1": peer.SETTINGS["beta1"], "beta2": peer.SETTINGS["beta2"], "eps": peer.SETTINGS["epsilon"]}
optimizer = chainer.optimizers.Adam(peer.SETTINGS["lr"], **options)
optimizer.setup(model)
batches = chainer.iterators.SerialIterator(chainer.datasets.TupleDataset(words, classes.astype("int32")), BATCH)
updater = training.updaters.StandardUpdater(batches, optimizer)

for _ in range(2):
    updater.update()
batches.reset()
began = time.perf_counter()
training.Trainer(updater, (len(words) // BATCH + 2, "iteration"), out=".").run()
peer.report(len(words), time.perf_counter() - began)
