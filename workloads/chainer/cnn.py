"""CNN on CIFAR-10 in Chainer."""

import chainer
import chainer.functions as F
import chainer.links as L

from workloads.chainer import runtime
from workloads.common import bench


class Cnn(chainer.Chain):
    def __init__(self, dropout_conv, dropout_dense, seed):
        super().__init__()
        self.dropout_conv, self.dropout_dense = dropout_conv, dropout_dense
        self.dropout = runtime.Dropout(seed)
        with self.init_scope():
            self.conv1 = L.Convolution2D(3, 50, 3, pad=1)
            self.conv2 = L.Convolution2D(50, 50, 3, pad=1)
            self.conv3 = L.Convolution2D(50, 100, 3, pad=1)
            self.conv4 = L.Convolution2D(100, 100, 3, pad=1)
            self.fc1 = L.Linear(100 * 8 * 8, 512)
            self.fc2 = L.Linear(512, 10)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.relu(F.max_pooling_2d(self.conv2(x), 2, cover_all=False))
        x = self.dropout(x, self.dropout_conv)
        x = F.relu(self.conv3(x))
        x = F.relu(F.max_pooling_2d(self.conv4(x), 2, cover_all=False))
        x = self.dropout(x, self.dropout_conv)
        x = F.relu(self.fc1(x))
        return self.fc2(self.dropout(x, self.dropout_dense))


def build(job, device):
    model = Cnn(job.settings["dropout_conv"], job.settings["dropout_dense"], job.seed)
    runtime.set_weights(model, job.weights())
    model.to_device(device)
    return model


def run(job):
    device = runtime.start(job)
    x_train, y_train, x_test, y_test = job.data()
    model = build(job, device)
    optimizer = chainer.optimizers.MomentumSGD(lr=job.settings["lr"], momentum=job.settings["momentum"])
    optimizer.setup(model)

    def forward_backward(x, y):
        loss = F.softmax_cross_entropy(model(device.send(x)), device.send(y))
        model.cleargrads()
        loss.backward()
        return loss.array

    def train_step(x, y):
        loss = forward_backward(x, y)
        optimizer.update()
        return loss

    def predict(x):
        with chainer.using_config("train", False), chainer.no_backprop_mode():
            return runtime.to_numpy(model(device.send(x)))

    with job.compiling():  # kernels are compiled and chosen when they first run; no weight changes
        forward_backward(x_train[: job.settings["batch"]], y_train[: job.settings["batch"]])
        runtime.rehearse_update(optimizer, device)

    job.ready()
    for epoch in job.epochs(sync=lambda: runtime.synchronize(device), weights=lambda: runtime.weights_of(model)):
        for x, y in epoch.batches(x_train, y_train):
            epoch.step(train_step(x, y))
        epoch.score(predict, x_test, y_test)


if __name__ == "__main__":
    bench.main(run)
