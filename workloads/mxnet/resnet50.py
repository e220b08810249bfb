"""ResNet-50 feature extraction in MXNet, as a symbol run through the Module API.

The network of the paper, cut after global average pooling; `variant` v1.5 moves the stride to the 3x3 convolution.

The study measured this network without and with oneDNN (formerly MKL-DNN). The row with it sets this variable.
"""

import os

os.environ.setdefault("MXNET_MKLDNN_ENABLED", "0")  # before MXNet reads it

import mxnet as mx

from workloads.common import bench
from workloads.mxnet import runtime

STAGES = ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2))  # blocks, width, stride of the first block
EXPANSION = 4
IMAGE = (3, 224, 224)


def convolution(x, conv, bn, filters, kernel, stride=1):
    x = mx.sym.Convolution(
        x,
        name=conv,
        num_filter=filters,
        kernel=(kernel, kernel),
        stride=(stride, stride),
        pad=(kernel // 2, kernel // 2),
        no_bias=True,
    )
    return mx.sym.BatchNorm(x, name=bn, eps=1e-5, fix_gamma=False, use_global_stats=True)


def relu(x):
    return mx.sym.Activation(x, act_type="relu")


def bottleneck(x, name, width, stride, variant, project):
    stride1, stride3 = (stride, 1) if variant == "v1" else (1, stride)
    out = relu(convolution(x, name + "_conv1", name + "_bn1", width, 1, stride1))
    out = relu(convolution(out, name + "_conv2", name + "_bn2", width, 3, stride3))
    out = convolution(out, name + "_conv3", name + "_bn3", width * EXPANSION, 1)
    if project:
        x = convolution(x, name + "_shortcut_conv", name + "_shortcut_bn", width * EXPANSION, 1, stride)
    return relu(out + x)


def network(variant):
    x = relu(convolution(mx.sym.Variable("data"), "conv1", "bn1", 64, 7, 2))
    x = mx.sym.Pooling(x, pool_type="max", kernel=(3, 3), stride=(2, 2), pad=(1, 1))
    for number, (blocks, width, stride) in enumerate(STAGES, start=1):
        for block in range(blocks):
            name = "layer{}_{}".format(number, block)
            x = bottleneck(x, name, width, stride if block == 0 else 1, variant, project=block == 0)
    return mx.sym.flatten(mx.sym.Pooling(x, pool_type="avg", global_pool=True, kernel=(7, 7)))


def build(job, context):
    module = mx.mod.Module(network(job.settings["variant"]), label_names=None, context=context)
    module.bind(data_shapes=[("data", (job.settings["batch"], *IMAGE))], for_training=False)
    parameters, statistics = {}, {}
    for name, array in job.weights().items():
        layer, kind = name.replace(".", "_").rsplit("_", 1)
        if kind in ("mean", "var"):
            statistics["{}_moving_{}".format(layer, kind)] = mx.nd.array(array)
        else:
            parameters["{}_{}".format(layer, kind)] = mx.nd.array(array)
    module.set_params(parameters, statistics)
    return module


def run(job):
    context = runtime.start(job)
    images = job.images()
    module = build(job, context)

    def features(batch):
        module.forward(runtime.batch(batch), is_train=False)
        return module.get_outputs()[0].asnumpy()

    job.ready()
    job.extract(features, images, sync=mx.nd.waitall)


if __name__ == "__main__":
    bench.main(run)
