"""ResNet-50 feature extraction in CNTK.

The network of the paper, cut after global average pooling; `variant` v1.5 moves the stride to the 3x3 convolution.
"""

import cntk as C

from workloads.cntk import runtime
from workloads.cntk.runtime import parameter
from workloads.common import bench

STAGES = ((3, 1), (4, 2), (6, 2), (3, 2))  # blocks, stride of the first block; the widths are those of the weights
EPSILON = 1e-5


def conv(x, weights, name, stride=1):
    # CNTK centres the kernel on every `stride`-th pixel, first one included: padding of k // 2 on every side.
    kernel = parameter(weights[name + ".weight"])
    return C.convolution(kernel, x, strides=(stride, stride), auto_padding=[False, True, True])


def norm(x, weights, name):
    gamma, beta = parameter(weights[name + ".gamma"]), parameter(weights[name + ".beta"])
    mean, var = C.constant(weights[name + ".mean"]), C.constant(weights[name + ".var"])
    return C.batch_normalization(x, gamma, beta, mean, var, spatial=True, epsilon=EPSILON, running_count=C.constant(0))


def bottleneck(x, weights, name, stride, variant):
    stride1, stride3 = (stride, 1) if variant == "v1" else (1, stride)
    out = C.relu(norm(conv(x, weights, name + ".conv1", stride1), weights, name + ".bn1"))
    out = C.relu(norm(conv(out, weights, name + ".conv2", stride3), weights, name + ".bn2"))
    out = norm(conv(out, weights, name + ".conv3"), weights, name + ".bn3")
    if name + ".shortcut.conv.weight" in weights:
        x = norm(conv(x, weights, name + ".shortcut.conv", stride), weights, name + ".shortcut.bn")
    return C.relu(out + x)


def network(x, weights, variant):
    x = C.relu(norm(conv(x, weights, "conv1", 2), weights, "bn1"))
    x = C.pooling(x, C.MAX_POOLING, (3, 3), strides=(2, 2), auto_padding=[True])
    for stage, (blocks, stride) in enumerate(STAGES, start=1):
        for block in range(blocks):
            x = bottleneck(x, weights, "layer{}.{}".format(stage, block), stride if block == 0 else 1, variant)
    return C.reshape(C.layers.GlobalAveragePooling()(x), -1)


def build(job):
    return network(C.input_variable((3, 224, 224)), job.weights(), job.settings["variant"])


def run(job):
    runtime.start(job)
    images = job.images()
    model = build(job)

    job.ready()
    job.extract(model.eval, images, sync=lambda: runtime.synchronize(model))


if __name__ == "__main__":
    bench.main(run)
