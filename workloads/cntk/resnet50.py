"""ResNet-50 feature extraction in CNTK.

The network of the paper, cut after global average pooling; `variant` v1.5 moves the stride to the 3x3 convolution.
"""

import cntk as C

from workloads.cntk import runtime
from workloads.cntk.runtime import parameter
from workloads.common import bench

STAGES = ((3, 1), (4, 2), (6, 2), (3, 2))  # blocks, stride of the first block; the widths are those of the weights


def conv(x, weights, name, stride=1):
    kernel = weights[name + ".weight"]
    if kernel.shape[2:] == (1, 1) and not runtime.on_gpu():
        return pointwise(x, kernel[:, :, 0, 0], stride)
    # CNTK centres the kernel on every `stride`-th pixel, first one included: padding of k // 2 on every side.
    return C.convolution(parameter(kernel), x, (stride, stride), auto_padding=[False, True, True])


def pointwise(x, matrix, stride):
    """A 1x1 convolution as the matrix product it is: on a CPU, CNTK's own takes half as long again or twice as long."""
    if stride > 1:
        x = C.slice(x, axis=[1, 2], begin_index=[0, 0], end_index=[0, 0], strides=[stride, stride])
    return C.times(parameter(matrix), x, output_rank=2)  # over the channels; the two axes of pixels stay as they are


def batch_norm(x, weights, name):
    """Inference from fixed statistics. Unlike a bias, CNTK computes it on all CPUs, so folding it would cost time."""
    gamma, beta, mean, var = (parameter(weights[name + kind]) for kind in (".gamma", ".beta", ".mean", ".var"))
    return C.batch_normalization(x, gamma, beta, mean, var, running_count=C.constant(0), spatial=True, epsilon=1e-5)


def bottleneck(x, weights, name, stride, variant):
    stride1, stride3 = (stride, 1) if variant == "v1" else (1, stride)
    out = C.relu(batch_norm(conv(x, weights, name + ".conv1", stride1), weights, name + ".bn1"))
    out = C.relu(batch_norm(conv(out, weights, name + ".conv2", stride3), weights, name + ".bn2"))
    out = batch_norm(conv(out, weights, name + ".conv3"), weights, name + ".bn3")
    if name + ".shortcut.conv.weight" in weights:
        x = batch_norm(conv(x, weights, name + ".shortcut.conv", stride), weights, name + ".shortcut.bn")
    return C.relu(out + x)


def network(x, weights, variant):
    x = C.relu(batch_norm(conv(x, weights, "conv1", stride=2), weights, "bn1"))
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
