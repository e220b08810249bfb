"""A GRU on reviews in PyTorch's own modules, time first as nn.GRU wants it by default, with the fused Adam.

https://docs.pytorch.org/docs/stable/generated/torch.nn.GRU.html
https://docs.pytorch.org/docs/stable/optim.html
https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html
In the folder pytorch-compile the model is compiled:
https://docs.pytorch.org/tutorials/intermediate/torch_compile_tutorial.html
"""

import time

import peer
import torch
from torch import nn

BATCH = peer.SETTINGS["batch"]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(30000, 125)
        self.gru = nn.GRU(125, 100)
        self.fc = nn.Linear(100, 2)

    def forward(self, words):
        _, last = self.gru(self.embedding(words))
        return self.fc(last[0])


def train(net, criterion, optimizer, words, classes):
    for indices in torch.randperm(len(words)).split(BATCH):
        optimizer.zero_grad(set_to_none=True)
        loss = criterion(net(words[indices].t()), classes[indices])
        loss.backward()
        optimizer.step()


words, classes = (torch.from_numpy(array) for array in peer.imdb())
net = Net().train()
betas = (peer.SETTINGS["beta1"], peer.SETTINGS["beta2"])
optimizer = torch.optim.Adam(net.parameters(), peer.SETTINGS["lr"], betas, peer.SETTINGS["epsilon"], fused=True)
step = torch.compile(net) if "pytorch-compile" in __file__ else net
criterion = nn.CrossEntropyLoss()

train(step, criterion, optimizer, words[: 2 * BATCH], classes)
began = time.perf_counter()
train(step, criterion, optimizer, words, classes)
peer.report(len(words), time.perf_counter() - began)
