"""A small CNN as in Chainer's CIFAR example, a Trainer with a StandardUpdater, on iDeep as its performance tips say.

https://docs.chainer.org/en/stable/tips.html#how-do-i-accelerate-my-model-using-chainer-backend-for-intel-architecture
https://github.com/chainer/chainer/blob/master/examples/cifar/train_cifar.py
"""

import time

import chainer
import chainer.functions as F
import chainer.links as L
import peer
from chainer import training

BATCH = peer.SETTINGS["batch"]
chainer.global_config.use_ideep = "auto"


class Net(chainer.Chain):
    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.conv1, self.conv2 = L.Convolution2D(3, 50, 3, pad=1), L.Convolution2D(50, 50, 3, pad=1)
            self.conv3, self.conv4 = L.Convolution2D(50, 100, 3, pad=1), L.Convolution2D(100, 100, 3, pad=1)
            self.fc1, self.fc2 = L.Linear(6400, 512), L.Linear(512, 10)

    def forward(self, x):
        x = F.relu(F.max_pooling_2d(self.conv2(F.relu(self.conv1(x))), 2))
        x = F.dropout(x, peer.SETTINGS["dropout_conv"])
        x = F.relu(F.max_pooling_2d(self.conv4(F.relu(self.conv3(x))), 2))
        x = F.dropout(x, peer.SETTINGS["dropout_conv"])
        return self.fc2(F.dropout(F.relu(self.fc1(x)), peer.SETTINGS["dropout_dense"]))


images, classes = peer.cifar10()
device = chainer.get_device("@intel64")
model = L.Classifier(Net())
model.compute_accuracy = False  # it is no part of the training
model.to_device(device)
optimizer = chainer.optimizers.MomentumSGD(peer.SETTINGS["lr"], peer.SETTINGS["momentum"])
optimizer.setup(model)
batches = chainer.iterators.SerialIterator(chainer.datasets.TupleDataset(images, classes.astype("int32")), BATCH)
updater = training.updaters.StandardUpdater(batches, optimizer, device=device)

for _ in range(2):
    updater.update()
batches.reset()
began = time.perf_counter()
training.Trainer(updater, (len(images) // BATCH + 2, "iteration"), out=".").run()
peer.report(len(images), time.perf_counter() - began)
