"""A small CNN trained as in tinygrad's MNIST example: one TinyJit for the whole training step.

https://github.com/tinygrad/tinygrad/blob/master/examples/beautiful_mnist.py
https://docs.tinygrad.org/mnist/
"""

import time

import peer
from tinygrad import Context, Device, Tensor, TinyJit, nn

BATCH = peer.SETTINGS["batch"]


class Model:
    def __init__(self):
        self.layers = [
            nn.Conv2d(3, 50, 3, padding=1), Tensor.relu,
            nn.Conv2d(50, 50, 3, padding=1), Tensor.max_pool2d, Tensor.relu,
            lambda x: x.dropout(peer.SETTINGS["dropout_conv"]),
            nn.Conv2d(50, 100, 3, padding=1), Tensor.relu,
            nn.Conv2d(100, 100, 3, padding=1), Tensor.max_pool2d, Tensor.relu,
            lambda x: x.dropout(peer.SETTINGS["dropout_conv"]),
            lambda x: x.flatten(1), nn.Linear(6400, 512), Tensor.relu,
            lambda x: x.dropout(peer.SETTINGS["dropout_dense"]), nn.Linear(512, 10),
        ]  # fmt: skip

    def __call__(self, x):
        return x.sequential(self.layers)


model = Model()
optimizer = nn.optim.SGD(nn.state.get_parameters(model), lr=peer.SETTINGS["lr"], momentum=peer.SETTINGS["momentum"])


@TinyJit
@Context(TRAINING=1)
def train_step(x, y):
    optimizer.zero_grad()
    loss = model(x).sparse_categorical_crossentropy(y).backward()
    return loss.realize(*optimizer.schedule_step())


def train(order):
    for first in range(0, len(order), BATCH):
        chosen = order[first : first + BATCH]
        train_step(Tensor(images[chosen]), Tensor(classes[chosen]))
    Device[Device.DEFAULT].synchronize()


images, classes = peer.cifar10()
classes = classes.astype("int32")

for _ in range(3):  # runs, records, replays
    train(range(BATCH))
began = time.perf_counter()
train(peer.RANDOM.permutation(len(images)))
peer.report(len(images), time.perf_counter() - began)
