"""ResNet-50 features as a symbol that mx.mod.Module runs, as in MXNet's example of scoring.

The row mxnet has no oneDNN, as in the study: the variable that switches it off is MXNet's own. In the folder mxnet-mkl
it is on, which is MXNet's default and what its guide to Intel CPUs says.

https://github.com/apache/mxnet/blob/v1.x/example/image-classification/benchmark_score.py
https://mxnet.apache.org/versions/1.9.1/api/faq/env_var.html
https://mxnet.apache.org/versions/1.9.1/api/python/docs/tutorials/performance/backend/mkldnn/mkldnn_readme.html
"""

import os
import time

if "mxnet-mkl" not in __file__:
    os.environ["MXNET_MKLDNN_ENABLED"] = "0"

import mxnet as mx
import peer

BATCH = peer.SETTINGS["batch"]


def conv_bn(x, filters, kernel, stride=1):
    pad = kernel // 2
    shape = {"kernel": (kernel, kernel), "stride": (stride, stride), "pad": (pad, pad)}
    x = mx.sym.Convolution(x, num_filter=filters, no_bias=True, **shape)
    return mx.sym.BatchNorm(x, fix_gamma=False, eps=1e-5)


def relu(x):
    return mx.sym.Activation(x, act_type="relu")


def bottleneck(x, channels, width, stride):
    stride1, stride3 = (stride, 1) if peer.SETTINGS["variant"] == "v1" else (1, stride)
    out = relu(conv_bn(x, width, 1, stride1))
    out = relu(conv_bn(out, width, 3, stride3))
    out = conv_bn(out, 4 * width, 1)
    shortcut = x if channels == 4 * width else conv_bn(x, 4 * width, 1, stride)
    return relu(out + shortcut)


x = relu(conv_bn(mx.sym.Variable("data"), 64, 7, 2))
x = mx.sym.Pooling(x, kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="max")
channels = 64
for width, blocks, stride in (64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2):
    for block in range(blocks):
        x = bottleneck(x, channels, width, 1 if block else stride)
        channels = 4 * width
x = mx.sym.flatten(mx.sym.Pooling(x, kernel=(7, 7), pool_type="avg", global_pool=True))

module = mx.mod.Module(x, label_names=None, context=mx.cpu())
module.bind([("data", (BATCH, 3, 224, 224))], for_training=False, inputs_need_grad=False)
module.init_params(mx.init.Xavier(magnitude=2.0))
photos = peer.photos()

for _ in "cold", "timed":
    began = time.perf_counter()
    for batch in photos:
        module.forward(mx.io.DataBatch([mx.nd.array(batch)]), is_train=False)
        module.get_outputs()[0].asnumpy()
    seconds = time.perf_counter() - began
peer.report(len(photos) * BATCH, seconds)
