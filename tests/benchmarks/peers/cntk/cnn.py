"""A small CNN of CNTK's layers library, trained by a Trainer, as in its CIFAR-10 tutorial.

https://cntk.ai/pythondocs/CNTK_201B_CIFAR-10_ImageHandsOn.html
https://cntk.ai/pythondocs/layerref.html
"""

import time

import openmpi  # noqa: F401  (before CNTK)

# isort: split
import cntk as C
import peer
from cntk.layers import Convolution2D, Dense, Dropout, MaxPooling, Sequential

BATCH = peer.SETTINGS["batch"]

with C.layers.default_options(init=C.glorot_uniform(), pad=True):
    model = Sequential([
        Convolution2D((3, 3), 50, activation=C.relu), Convolution2D((3, 3), 50),
        MaxPooling((2, 2), strides=2, pad=False), C.relu, Dropout(peer.SETTINGS["dropout_conv"]),
        Convolution2D((3, 3), 100, activation=C.relu), Convolution2D((3, 3), 100),
        MaxPooling((2, 2), strides=2, pad=False), C.relu, Dropout(peer.SETTINGS["dropout_conv"]),
        Dense(512, activation=C.relu), Dropout(peer.SETTINGS["dropout_dense"]), Dense(10),
    ])  # fmt: skip

x, y = C.input_variable((3, 32, 32)), C.input_variable(10)
z = model(x)
learner = C.momentum_sgd(
    z.parameters,
    C.learning_parameter_schedule(peer.SETTINGS["lr"], minibatch_size=BATCH),
    C.momentum_schedule(peer.SETTINGS["momentum"], minibatch_size=BATCH),
    unit_gain=False,
)
trainer = C.Trainer(z, C.cross_entropy_with_softmax(z, y), [learner])


def train(order):
    for first in range(0, len(order), BATCH):
        chosen = order[first : first + BATCH]
        trainer.train_minibatch({x: images[chosen], y: classes[chosen]})
    z.parameters[-1].value  # noqa: B018  (reading waits)


images, classes = peer.cifar10()
classes = peer.np.eye(10, dtype="float32")[classes]

train(peer.np.arange(2 * BATCH))
began = time.perf_counter()
train(peer.RANDOM.permutation(len(images)))
peer.report(len(images), time.perf_counter() - began)
