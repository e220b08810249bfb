"""CNN on CIFAR-10 in Gluon, MXNet's imperative interface, hybridized into a graph."""

import mxnet as mx
from mxnet import autograd, gluon
from mxnet.gluon import nn

from workloads.common import bench
from workloads.gluon import runtime


def network(dropout_conv, dropout_dense):
    net = nn.HybridSequential(prefix="")
    net.add(
        nn.Conv2D(50, 3, padding=1, in_channels=3, activation="relu", prefix="conv1_"),
        nn.Conv2D(50, 3, padding=1, in_channels=50, prefix="conv2_"),
        nn.MaxPool2D(2),
        nn.Activation("relu"),
        nn.Dropout(dropout_conv),
        nn.Conv2D(100, 3, padding=1, in_channels=50, activation="relu", prefix="conv3_"),
        nn.Conv2D(100, 3, padding=1, in_channels=100, prefix="conv4_"),
        nn.MaxPool2D(2),
        nn.Activation("relu"),
        nn.Dropout(dropout_conv),
        nn.Flatten(),
        nn.Dense(512, in_units=100 * 8 * 8, activation="relu", prefix="fc1_"),
        nn.Dropout(dropout_dense),
        nn.Dense(10, in_units=512, prefix="fc2_"),
    )
    return net


def build(job, context):
    net = network(job.settings["dropout_conv"], job.settings["dropout_dense"])
    runtime.set_weights(net, {name.replace(".", "_"): array for name, array in job.weights().items()}, context)
    net.hybridize(static_alloc=True, static_shape=True)
    return net


def weights_of(net):
    """The weights as they are now, under the names they came with."""
    return {name.replace("_", "."): parameter.data().asnumpy() for name, parameter in net.collect_params().items()}


def run(job):
    context = runtime.start(job)
    x_train, y_train, x_test, y_test = job.data()
    net = build(job, context)
    loss_function = gluon.loss.SoftmaxCrossEntropyLoss()
    loss_function.hybridize(static_alloc=True, static_shape=True)
    trainer = gluon.Trainer(
        net.collect_params(),
        "sgd",
        {"learning_rate": job.settings["lr"], "momentum": job.settings["momentum"]},
        kvstore=None,
    )

    def forward_backward(x, y):
        with autograd.record():
            losses = loss_function(net(mx.nd.array(x, ctx=context)), mx.nd.array(y, ctx=context))
        losses.backward()
        return losses

    def train_step(x, y):
        losses = forward_backward(x, y)
        trainer.step(len(x))
        return lambda: losses.mean().asscalar()

    def predict(x):
        return net(mx.nd.array(x, ctx=context)).asnumpy()

    with job.compiling():  # the graphs are built when they first run; without trainer.step() no weight changes
        forward_backward(x_train[: job.settings["batch"]], y_train[: job.settings["batch"]])
        mx.nd.waitall()
    job.ready()
    for epoch in job.epochs(sync=mx.nd.waitall, weights=lambda: weights_of(net)):
        for x, y in epoch.batches(x_train, y_train):
            epoch.step(train_step(x, y))
        epoch.score(predict, x_test, y_test, pad=True)


if __name__ == "__main__":
    bench.main(run)
