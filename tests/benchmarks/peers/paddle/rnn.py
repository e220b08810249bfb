"""A GRU as in PaddlePaddle's IMDB tutorial, made a static graph as its guide says for speed.

https://www.paddlepaddle.org.cn/documentation/docs/zh/practices/nlp/imdb_bow_classification.html
https://www.paddlepaddle.org.cn/documentation/docs/en/api/paddle/nn/GRU_en.html
https://www.paddlepaddle.org.cn/documentation/docs/en/guides/jit/index_en.html
"""

import time

import paddle
import peer
from paddle import nn

BATCH = peer.SETTINGS["batch"]


class Net(nn.Layer):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(30000, 125)
        self.gru = nn.GRU(125, 100)
        self.fc = nn.Linear(100, 2)

    def forward(self, words):
        outputs, _ = self.gru(self.embedding(words))
        return self.fc(outputs[:, -1])


def train(order):
    for first in range(0, len(order), BATCH):
        chosen = order[first : first + BATCH]
        loss = criterion(net(paddle.to_tensor(words[chosen])), paddle.to_tensor(classes[chosen]))
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
    loss.item()


words, classes = peer.imdb()
net = paddle.jit.to_static(Net())
net.train()
criterion = nn.CrossEntropyLoss()
options = {"beta1": peer.SETTINGS["beta1"], "beta2": peer.SETTINGS["beta2"], "epsilon": peer.SETTINGS["epsilon"]}
optimizer = paddle.optimizer.Adam(peer.SETTINGS["lr"], parameters=net.parameters(), **options)

train(peer.np.arange(2 * BATCH))
began = time.perf_counter()
order = peer.RANDOM.permutation(len(words))
train(order)
peer.report(len(words), time.perf_counter() - began)
