"""GRU on IMDB reviews in PaddlePaddle.

Sequences are time first, the layout of the kernel behind paddle.nn.GRU: one call computes all time steps.
The model becomes a static graph, made of its source: without full_graph=True a step takes three times as long.
"""

import numpy as np
import paddle
from paddle import nn

from workloads.common import bench
from workloads.paddle import runtime

VOCABULARY, EMBEDDING, UNITS, CLASSES = 30000, 125, 100, 2


class Rnn(nn.Layer):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, EMBEDDING)
        self.gru = nn.GRU(EMBEDDING, UNITS, time_major=True)
        self.fc = nn.Linear(UNITS, CLASSES)

    def forward(self, tokens):
        _, last = self.gru(self.embedding(tokens))
        return self.fc(last[0])


def build(job):
    model = Rnn()
    weights = job.weights()
    runtime.load(model, {name: weights[given(name)] for name in model.state_dict()})
    return paddle.jit.to_static(model, full_graph=True)


def given(name):
    """What PROTOCOL.md calls a weight of the model. GRU has its weights twice: by layer, and by cell."""
    return name.replace("gru.0.cell.", "gru.").replace("_l0", "")


def weights_of(model):
    """The weights as they are now, under the names they came with."""
    return {given(name): weight for name, weight in runtime.weights_of(model).items()}


def run(job):
    runtime.start(job, fused=True)
    x_train, y_train, x_test, y_test = job.data(labels=np.int64)
    model = build(job)
    loss_function = nn.CrossEntropyLoss()
    optimizer = paddle.optimizer.Adam(
        job.settings["lr"],
        beta1=job.settings["beta1"],
        beta2=job.settings["beta2"],
        epsilon=job.settings["epsilon"],
        parameters=model.parameters(),
    )

    def tokens(batch):
        return paddle.to_tensor(np.ascontiguousarray(batch.T))

    def forward_backward(x, y):
        optimizer.clear_grad()
        loss = loss_function(model(tokens(x)), paddle.to_tensor(y))
        loss.backward()
        return loss

    def train_step(x, y):
        loss = forward_backward(x, y)
        optimizer.step()
        return loss

    @paddle.no_grad()
    def predict(x):
        return model(tokens(x)).numpy()

    with job.compiling():
        batch = job.settings["batch"]
        runtime.rehearse(forward_backward, predict, x_train[:batch], y_train[:batch])
    job.ready()
    for epoch in job.epochs(sync=runtime.synchronize, weights=lambda: weights_of(model)):
        model.train()
        for x, y in epoch.batches(x_train, y_train):
            epoch.step(train_step(x, y))
        model.eval()
        epoch.score(predict, x_test, y_test)


if __name__ == "__main__":
    bench.main(run)
