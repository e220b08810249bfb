"""A small CNN as in Caffe2's CIFAR-10 tutorial: a ModelHelper filled by brew, its optimizer, workspace.RunNet.

https://github.com/caffe2/tutorials/blob/master/CIFAR10_Part1.ipynb
https://caffe2.ai/docs/tutorial-MNIST.html
"""

import time

import peer
from caffe2.python import brew, model_helper, optimizer, workspace

BATCH = peer.SETTINGS["batch"]
threads = "={}".format(peer.THREADS)
workspace.GlobalInit(["caffe2", "--caffe2_omp_num_threads" + threads, "--caffe2_mkl_num_threads" + threads])


def conv_relu(x, name, channels, filters, pool=False):
    x = brew.conv(model, x, name, channels, filters, kernel=3, pad=1)
    x = brew.max_pool(model, x, name + "_pool", kernel=2, stride=2) if pool else x
    return brew.relu(model, x, name + "_relu")


def dropout(x, name, ratio):
    return brew.dropout(model, x, name, ratio=peer.SETTINGS[ratio], is_test=False)


model = model_helper.ModelHelper("cnn", arg_scope={"order": "NCHW"})
x = conv_relu(conv_relu("data", "conv1", 3, 50), "conv2", 50, 50, pool=True)
x = conv_relu(dropout(x, "dropout1", "dropout_conv"), "conv3", 50, 100)
x = dropout(conv_relu(x, "conv4", 100, 100, pool=True), "dropout2", "dropout_conv")
x = brew.relu(model, brew.fc(model, x, "fc1", 6400, 512), "fc1_relu")
x = brew.fc(model, dropout(x, "dropout3", "dropout_dense"), "fc2", 512, 10)
softmax, loss = model.SoftmaxWithLoss([x, "label"], ["softmax", "loss"])
model.AddGradientOperators([loss])
optimizer.build_sgd(model, peer.SETTINGS["lr"], policy="fixed", momentum=peer.SETTINGS["momentum"])


def train(order):
    for first in range(0, len(order), BATCH):
        chosen = order[first : first + BATCH]
        workspace.FeedBlob("data", images[chosen])
        workspace.FeedBlob("label", classes[chosen])
        workspace.RunNet(model.net)
    workspace.FetchBlob("loss")


images, classes = peer.cifar10()
classes = classes.astype("int32")
workspace.FeedBlob("data", images[:BATCH])
workspace.FeedBlob("label", classes[:BATCH])
workspace.RunNetOnce(model.param_init_net)
workspace.CreateNet(model.net)

train(peer.np.arange(2 * BATCH))
began = time.perf_counter()
train(peer.RANDOM.permutation(len(images)))
peer.report(len(images), time.perf_counter() - began)
