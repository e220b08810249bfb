"""GRU on IMDB reviews in Chainer.

Sequences are time first, the order in which the recurrence needs them.
"""

import chainer
import chainer.functions as F
import chainer.links as L

from workloads.chainer import runtime
from workloads.chainer.embedding import EmbedID
from workloads.chainer.gru import Gru
from workloads.common import bench

VOCABULARY, EMBEDDING, UNITS, CLASSES = 30000, 125, 100, 2


class Rnn(chainer.Chain):
    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.embedding = EmbedID(VOCABULARY, EMBEDDING)
            self.gru = Gru(EMBEDDING, UNITS)
            self.fc = L.Linear(UNITS, CLASSES)

    def forward(self, tokens):
        return self.fc(self.gru(self.embedding(tokens)))


def build(job, device):
    model = Rnn()
    runtime.set_weights(model, job.weights())
    model.to_device(device)
    return model


def run(job):
    fused = job.device == "gpu"
    notes = [] if fused else ["without iDeep, which has no GRU: NumPy arrays"]
    device = runtime.start(job, ideep=False, fused=fused, notes=notes)
    x_train, y_train, x_test, y_test = job.data()
    model = build(job, device)
    optimizer = runtime.Adam(
        alpha=job.settings["lr"],
        beta1=job.settings["beta1"],
        beta2=job.settings["beta2"],
        epsilon=job.settings["epsilon"],
    )
    optimizer.setup(model)

    def forward_backward(x, y):
        loss = F.softmax_cross_entropy(model(device.send(x.T)), device.send(y))
        model.cleargrads()
        loss.backward()
        return loss.array

    def train_step(x, y):
        loss = forward_backward(x, y)
        optimizer.update()
        return loss

    def predict(x):
        with chainer.using_config("train", False), chainer.no_backprop_mode():
            return runtime.to_numpy(model(device.send(x.T)))

    with job.compiling():  # a GPU's kernels are compiled when they first run; no weight changes
        forward_backward(x_train[: job.settings["batch"]], y_train[: job.settings["batch"]])
        runtime.rehearse_update(optimizer, device)
    job.ready()
    for epoch in job.epochs(sync=lambda: runtime.synchronize(device), weights=lambda: runtime.weights_of(model)):
        for x, y in epoch.batches(x_train, y_train):
            epoch.step(train_step(x, y))
        epoch.score(predict, x_test, y_test)


if __name__ == "__main__":
    bench.main(run)
