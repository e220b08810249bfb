"""A small CNN as in PyTorch's tutorial, with what its tuning guide says for a CPU: channels last, set_to_none.

https://docs.pytorch.org/tutorials/beginner/blitz/cifar10_tutorial.html
https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html
In the folder pytorch-compile the model is compiled:
https://docs.pytorch.org/tutorials/intermediate/torch_compile_tutorial.html
"""

import time

import peer
import torch
from torch import nn

BATCH = peer.SETTINGS["batch"]


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 50, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(50, 50, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(inplace=True),
            nn.Dropout(peer.SETTINGS["dropout_conv"]),
            nn.Conv2d(50, 100, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(100, 100, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(inplace=True),
            nn.Dropout(peer.SETTINGS["dropout_conv"]),
            nn.Flatten(), nn.Linear(6400, 512), nn.ReLU(inplace=True),
            nn.Dropout(peer.SETTINGS["dropout_dense"]), nn.Linear(512, 10),
        )  # fmt: skip


def train(net, criterion, optimizer, images, classes):
    for indices in torch.randperm(len(images)).split(BATCH):
        optimizer.zero_grad(set_to_none=True)
        loss = criterion(net(images[indices]), classes[indices])
        loss.backward()
        optimizer.step()


images, classes = (torch.from_numpy(array) for array in peer.cifar10())
images = images.contiguous(memory_format=torch.channels_last)
net = Net().to(memory_format=torch.channels_last).train()
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(net.parameters(), lr=peer.SETTINGS["lr"], momentum=peer.SETTINGS["momentum"])
if "pytorch-compile" in __file__:
    net = torch.compile(net)

train(net, criterion, optimizer, images[: 2 * BATCH], classes)
began = time.perf_counter()
train(net, criterion, optimizer, images, classes)
peer.report(len(images), time.perf_counter() - began)
