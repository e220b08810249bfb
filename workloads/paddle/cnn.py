"""CNN on CIFAR-10 in PaddlePaddle.

The model becomes a static graph. With oneDNN it is not faster: its convolutions are, but around them the gradients of
biases and ReLU take longer.
"""

import numpy as np
import paddle
from paddle import nn
from paddle.nn import functional as F

from workloads.common import bench
from workloads.paddle import runtime


class Cnn(nn.Layer):
    def __init__(self, dropout_conv, dropout_dense):
        super().__init__()
        self.conv1 = nn.Conv2D(3, 50, 3, padding=1)
        self.conv2 = nn.Conv2D(50, 50, 3, padding=1)
        self.conv3 = nn.Conv2D(50, 100, 3, padding=1)
        self.conv4 = nn.Conv2D(100, 100, 3, padding=1)
        self.fc1 = nn.Linear(100 * 8 * 8, 512)
        self.fc2 = nn.Linear(512, 10)
        self.dropout_conv = nn.Dropout(dropout_conv)
        self.dropout_dense = nn.Dropout(dropout_dense)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.relu(F.max_pool2d(self.conv2(x), 2))
        x = self.dropout_conv(x)
        x = F.relu(self.conv3(x))
        x = F.relu(F.max_pool2d(self.conv4(x), 2))
        x = self.dropout_conv(x)
        x = F.relu(self.fc1(paddle.flatten(x, 1)))
        return self.fc2(self.dropout_dense(x))


def build(job):
    model = Cnn(job.settings["dropout_conv"], job.settings["dropout_dense"])
    runtime.load(model, job.weights())
    return paddle.jit.to_static(model)


def run(job):
    runtime.start(job)
    x_train, y_train, x_test, y_test = job.data(labels=np.int64)
    model = build(job)
    loss_function = nn.CrossEntropyLoss()
    optimizer = paddle.optimizer.Momentum(
        job.settings["lr"], momentum=job.settings["momentum"], parameters=model.parameters()
    )

    def forward_backward(x, y):
        optimizer.clear_grad()
        loss = loss_function(model(paddle.to_tensor(x)), paddle.to_tensor(y))
        loss.backward()
        return loss

    def train_step(x, y):
        loss = forward_backward(x, y)
        optimizer.step()
        return loss

    @paddle.no_grad()
    def predict(x):
        return model(paddle.to_tensor(x)).numpy()

    with job.compiling():
        batch = job.settings["batch"]
        runtime.rehearse(forward_backward, predict, x_train[:batch], y_train[:batch])
    job.ready()
    for epoch in job.epochs(sync=runtime.synchronize, weights=lambda: runtime.weights_of(model)):
        model.train()
        for x, y in epoch.batches(x_train, y_train):
            epoch.step(train_step(x, y))
        model.eval()
        epoch.score(predict, x_test, y_test)


if __name__ == "__main__":
    bench.main(run)
