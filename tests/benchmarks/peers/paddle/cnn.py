"""A small CNN as in PaddlePaddle's CIFAR-10 tutorial, made a static graph as its guide says for speed.

https://www.paddlepaddle.org.cn/documentation/docs/en/guides/jit/index_en.html
https://www.paddlepaddle.org.cn/documentation/docs/zh/practices/cv/convnet_image_classification.html
"""

import time

import paddle
import peer
from paddle import nn

BATCH = peer.SETTINGS["batch"]

net = nn.Sequential(
    nn.Conv2D(3, 50, 3, padding=1), nn.ReLU(),
    nn.Conv2D(50, 50, 3, padding=1), nn.MaxPool2D(2), nn.ReLU(),
    nn.Dropout(peer.SETTINGS["dropout_conv"]),
    nn.Conv2D(50, 100, 3, padding=1), nn.ReLU(),
    nn.Conv2D(100, 100, 3, padding=1), nn.MaxPool2D(2), nn.ReLU(),
    nn.Dropout(peer.SETTINGS["dropout_conv"]),
    nn.Flatten(), nn.Linear(6400, 512), nn.ReLU(),
    nn.Dropout(peer.SETTINGS["dropout_dense"]), nn.Linear(512, 10),
)  # fmt: skip


def train(order):
    for first in range(0, len(order), BATCH):
        chosen = order[first : first + BATCH]
        loss = criterion(net(paddle.to_tensor(images[chosen])), paddle.to_tensor(classes[chosen]))
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
    loss.item()


images, classes = peer.cifar10()
net = paddle.jit.to_static(net)
net.train()
criterion = nn.CrossEntropyLoss()
optimizer = paddle.optimizer.Momentum(peer.SETTINGS["lr"], peer.SETTINGS["momentum"], parameters=net.parameters())

train(peer.np.arange(2 * BATCH))
began = time.perf_counter()
train(peer.RANDOM.permutation(len(images)))
peer.report(len(images), time.perf_counter() - began)
