"""CNN on CIFAR-10 in Caffe2, with ModelHelper and brew."""

import numpy as np
from caffe2.python import brew, core, workspace
from caffe2.python.model_helper import ModelHelper

from workloads.caffe2 import runtime
from workloads.common import bench

BLOBS = {  # of our weights, as brew names them
    "{}.{}".format(layer, ours): "{}_{}".format(layer, theirs)
    for layer in ("conv1", "conv2", "conv3", "conv4", "fc1", "fc2")
    for ours, theirs in (("weight", "w"), ("bias", "b"))
}


def network(model, settings=None, seed=None):
    """Add the network to `model` and return the blob of its scores. Without `settings` there is no dropout."""

    # training_mode, even to predict: without it IDEEP keeps a copy of the weights and does not see them change.
    def convolution(x, name, channels, filters):
        return brew.conv(model, x, name, channels, filters, kernel=3, pad=1, training_mode=1)

    def max_pool(x, name):
        return brew.max_pool(model, x, name, kernel=2, stride=2, training_mode=1)

    def dropout(x, name, ratio, number):
        return runtime.dropout(model, x, name, settings[ratio], seed + number) if settings else x

    x = brew.relu(model, convolution("data", "conv1", 3, 50), "relu1")
    x = brew.relu(model, max_pool(convolution(x, "conv2", 50, 50), "pool2"), "relu2")
    x = dropout(x, "dropout2", "dropout_conv", 0)
    x = brew.relu(model, convolution(x, "conv3", 50, 100), "relu3")
    x = brew.relu(model, max_pool(convolution(x, "conv4", 100, 100), "pool4"), "relu4")
    x = dropout(x, "dropout4", "dropout_conv", 1)
    x = brew.relu(model, brew.fc(model, x, "fc1", 100 * 8 * 8, 512), "relu5")
    x = brew.fc(model, dropout(x, "dropout5", "dropout_dense", 2), "fc2", 512, 10)
    return runtime.leave_ideep(model.net, x)


def build_training(job, device):
    """The network with its loss and gradients, and the update of its weights: two nets, so that the first can be run
    ahead without changing a weight."""
    model = ModelHelper("training", arg_scope=runtime.ARGUMENTS, init_params=False)
    with core.DeviceScope(device):
        scores = network(model, job.settings, job.seed)
    with core.DeviceScope(runtime.without_ideep(device)):
        _, loss = model.net.SoftmaxWithLoss([scores, "label"], ["softmax", "loss"])
    model.AddGradientOperators([loss])
    update = core.Net("update")
    with core.DeviceScope(device):
        for weight in model.params:
            # IDEEP's operator reads bare memory, so it needs the gradient in the same layout as the weights.
            gradient = runtime.enter_ideep(update, runtime.leave_ideep(update, model.param_to_grad[weight]))
            velocity = weight + "_velocity"  # with the learning rate in it, which never changes
            update.MomentumSGDUpdate(
                [gradient, velocity, "lr", weight],
                [gradient, velocity, weight],
                momentum=job.settings["momentum"],
            )
    return model.net, update


def build(job, device):
    """Fill the workspace, and return the nets that train, update and predict, and the blob of the predicted scores."""
    for name, array in job.weights().items():
        workspace.FeedBlob(BLOBS[name], array, device)
        workspace.FeedBlob(BLOBS[name] + "_velocity", np.zeros_like(array), device)
    workspace.FeedBlob("lr", np.array([job.settings["lr"]], np.float32), runtime.without_ideep(device))
    prediction = ModelHelper("prediction", arg_scope=runtime.ARGUMENTS, init_params=False)
    with core.DeviceScope(device):
        scores = network(prediction)
    return (*build_training(job, device), prediction.net, scores)


def weights_of():
    """The weights as they are now in Caffe2's one workspace, under the names they came with."""
    return {name: workspace.FetchBlob(blob) for name, blob in BLOBS.items()}


def run(job):
    device = runtime.start(job)
    x_train, y_train, x_test, y_test = job.data()
    training, update, prediction, scores = build(job, device)

    def feed(x, y=None):
        workspace.FeedBlob("data", x, device)
        if y is not None:
            workspace.FeedBlob("label", y, runtime.without_ideep(device))

    def train_step(x, y):
        feed(x, y)
        workspace.RunNet(training)
        workspace.RunNet(update)
        return lambda: workspace.FetchBlob("loss")

    def predict(x):
        feed(x)
        workspace.RunNet(prediction)
        return workspace.FetchBlob(scores)

    with job.compiling():  # operators choose their kernels when they first run
        feed(x_train[: job.settings["batch"]], y_train[: job.settings["batch"]])
        for net in (training, update, prediction):
            workspace.CreateNet(net)
        workspace.RunNet(training)
    job.ready()
    for epoch in job.epochs(sync=runtime.synchronize, weights=weights_of):
        for x, y in epoch.batches(x_train, y_train):
            epoch.step(train_step(x, y))
        epoch.score(predict, x_test, y_test)


if __name__ == "__main__":
    bench.main(run)
