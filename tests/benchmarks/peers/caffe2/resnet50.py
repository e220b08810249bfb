"""ResNet-50 features in Caffe2: its ModelHelper and brew on IDEEP, with its pass for oneDNN, as its benchmarks run it.

https://caffe2.ai/docs/brew.html
https://github.com/pytorch/pytorch/blob/v1.10.2/caffe2/python/transformations.py
https://github.com/pytorch/pytorch/blob/v1.10.2/caffe2/python/convnet_benchmarks.py
"""

import time

import peer
from caffe2.proto import caffe2_pb2
from caffe2.python import brew, core, model_helper, transformations, workspace

threads = "={}".format(peer.THREADS)
workspace.GlobalInit(["caffe2", "--caffe2_omp_num_threads" + threads, "--caffe2_mkl_num_threads" + threads])
device = core.DeviceOption(caffe2_pb2.IDEEP)


def conv_bn(x, name, channels, filters, kernel, stride=1):
    options = {"kernel": kernel, "stride": stride, "pad": kernel // 2, "no_bias": True}
    x = brew.conv(model, x, name, channels, filters, weight_init=("MSRAFill", {}), **options)
    return brew.spatial_bn(model, x, name + "_bn", filters, epsilon=1e-5, is_test=True)


def relu(x):
    return brew.relu(model, x, x)


def bottleneck(x, name, channels, width, stride):
    stride1, stride3 = (stride, 1) if peer.SETTINGS["variant"] == "v1" else (1, stride)
    shortcut = x if channels == 4 * width else conv_bn(x, name + "_shortcut", channels, 4 * width, 1, stride)
    out = relu(conv_bn(x, name + "_1", channels, width, 1, stride1))
    out = relu(conv_bn(out, name + "_2", width, width, 3, stride3))
    out = conv_bn(out, name + "_3", width, 4 * width, 1)
    return relu(brew.sum(model, [out, shortcut], name + "_sum"))


model = model_helper.ModelHelper("resnet50", arg_scope={"order": "NCHW"})
with core.DeviceScope(device):
    x = brew.max_pool(model, relu(conv_bn("data", "conv1", 3, 64, 7, 2)), "pool1", kernel=3, stride=2, pad=1)
    channels = 64
    for stage, (width, blocks, stride) in enumerate([(64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)]):
        for block in range(blocks):
            x = bottleneck(x, "block{}_{}".format(stage, block), channels, width, 1 if block else stride)
            channels = 4 * width
    x = brew.average_pool(model, x, "features", global_pooling=True)
model.net.AddExternalOutput(x)

photos = peer.photos()
workspace.RunNetOnce(model.param_init_net)
transformations.optimizeForMKLDNN(model.net)
workspace.FeedBlob("data", photos[0], device)
workspace.CreateNet(model.net)

for _ in "cold", "timed":
    began = time.perf_counter()
    for batch in photos:
        workspace.FeedBlob("data", batch, device)
        workspace.RunNet(model.net)
        workspace.FetchBlob(x)
    seconds = time.perf_counter() - began
peer.report(photos.shape[0] * photos.shape[1], seconds)
