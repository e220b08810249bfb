"""ResNet-50 feature extraction in Caffe2, with ModelHelper and brew.

The network of the paper, cut after global average pooling; `variant` v1.5 moves the stride to the 3x3 convolution.
On a CPU Caffe2's own pass for oneDNN folds BatchNorm into the convolutions and joins them with the sum and the ReLU.
"""

from caffe2.python import brew, core, transformations, workspace
from caffe2.python.model_helper import ModelHelper

from workloads.caffe2 import runtime
from workloads.common import bench

STAGES = ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2))  # blocks, width, stride of the first block
EXPANSION = 4
SUFFIXES = {"weight": "w", "gamma": "s", "beta": "b", "mean": "rm", "var": "riv"}  # of blobs, as brew names them


def convolution(model, x, name, channels, filters, *, kernel=1, stride=1):
    pad = kernel // 2
    x = brew.conv(model, x, name, channels, filters, kernel=kernel, stride=stride, pad=pad, no_bias=True)
    return brew.spatial_bn(model, x, name.replace("conv", "bn"), filters, epsilon=1e-5, is_test=True)


def bottleneck(model, x, name, *, channels, width, stride, variant, project):
    stride1, stride3 = (stride, 1) if variant == "v1" else (1, stride)
    shortcut = x
    if project:
        shortcut = convolution(model, x, name + ".shortcut.conv", channels, width * EXPANSION, stride=stride)
    out = convolution(model, x, name + ".conv1", channels, width, stride=stride1)
    out = brew.relu(model, out, out)
    out = convolution(model, out, name + ".conv2", width, width, kernel=3, stride=stride3)
    out = brew.relu(model, out, out)
    out = convolution(model, out, name + ".conv3", width, width * EXPANSION)
    out = brew.sum(model, [out, shortcut], name + ".sum")
    return brew.relu(model, out, out)


def network(model, variant):
    """Add the network to `model` and return the blob of its features, (batch, 2048, 1, 1)."""
    x = convolution(model, "data", "conv1", 3, 64, kernel=7, stride=2)
    x = brew.max_pool(model, brew.relu(model, x, x), "pool1", kernel=3, stride=2, pad=1)
    channels = 64
    for number, (blocks, width, stride) in enumerate(STAGES, start=1):
        for block in range(blocks):
            x = bottleneck(
                model,
                x,
                "layer{}.{}".format(number, block),
                channels=channels,
                width=width,
                stride=stride if block == 0 else 1,
                variant=variant,
                project=block == 0,
            )
            channels = width * EXPANSION
    return brew.average_pool(model, x, "features", global_pooling=True)


def build(job, device):
    model = ModelHelper("resnet50", arg_scope=runtime.ARGUMENTS, init_params=False)
    with core.DeviceScope(device):
        features = network(model, job.settings["variant"])
    model.net.AddExternalOutput(features)
    for name, array in job.weights().items():
        layer, kind = name.rsplit(".", 1)
        workspace.FeedBlob("{}_{}".format(layer, SUFFIXES[kind]), array, device)
    return model.net, features


def run(job):
    device = runtime.start(job)
    images = job.images()
    net, output = build(job, device)

    def features(batch):
        workspace.FeedBlob("data", batch, device)
        workspace.RunNet(net)
        return workspace.FetchBlob(output).reshape(len(batch), -1)

    with job.compiling():
        if runtime.is_ideep(device):
            transformations.optimizeForMKLDNN(net)
        workspace.FeedBlob("data", images[0], device)
        workspace.CreateNet(net)
    job.ready()
    job.extract(features, images, sync=runtime.synchronize)


if __name__ == "__main__":
    bench.main(run)
