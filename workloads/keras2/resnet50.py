"""ResNet-50 feature extraction in Keras 2.

The network of the paper, cut after global average pooling; `variant` v1.5 moves the stride to the 3x3 convolution.
"""

import keras
from keras import backend as K
from keras.layers import Activation, Add, BatchNormalization, Conv2D, GlobalAveragePooling2D, Input, MaxPooling2D

from workloads.common import bench
from workloads.keras2 import runtime

STAGES = ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2))  # blocks, width, stride of the first block
EXPANSION = 4
EPSILON = 1e-5


def conv(x, name, filters, size, stride=1):
    # "same" means a padding of size // 2 on every side, with any stride, on the CNTK and Theano backends.
    return Conv2D(filters, size, strides=stride, padding="same", use_bias=False, name=name)(x)


def norm(x, name):
    return BatchNormalization(axis=1, epsilon=EPSILON, name=name)(x)


def bottleneck(x, name, width, stride, variant, first):
    stride1, stride3 = (stride, 1) if variant == "v1" else (1, stride)
    out = Activation("relu")(norm(conv(x, name + ".conv1", width, 1, stride1), name + ".bn1"))
    out = Activation("relu")(norm(conv(out, name + ".conv2", width, 3, stride3), name + ".bn2"))
    out = norm(conv(out, name + ".conv3", width * EXPANSION, 1), name + ".bn3")
    if first:
        x = norm(conv(x, name + ".shortcut.conv", width * EXPANSION, 1, stride), name + ".shortcut.bn")
    return Activation("relu")(Add()([out, x]))


def network(variant):
    images = Input((3, 224, 224))
    x = Activation("relu")(norm(conv(images, "conv1", 64, 7, 2), "bn1"))
    x = MaxPooling2D(3, strides=2, padding="same")(x)
    for stage, (blocks, width, stride) in enumerate(STAGES, start=1):
        for block in range(blocks):
            name = "layer{}.{}".format(stage, block)
            x = bottleneck(x, name, width, stride if block == 0 else 1, variant, first=block == 0)
    return keras.Model(images, GlobalAveragePooling2D()(x))


def build(job):
    K.set_learning_phase(0)  # or every BatchNormalization computes its training form too, and throws it away
    model = network(job.settings["variant"])
    weights = job.weights()
    for layer in model.layers:
        if isinstance(layer, Conv2D):
            layer.set_weights([runtime.kernel(weights[layer.name + ".weight"])])
        elif isinstance(layer, BatchNormalization):
            layer.set_weights([weights[layer.name + "." + kind] for kind in ("gamma", "beta", "mean", "var")])
    return model


def run(job):
    runtime.start(job)
    images = job.images()
    model = build(job)

    job.ready()
    job.extract(model.predict_on_batch, images, sync=lambda: runtime.synchronize(model))


if __name__ == "__main__":
    bench.main(run)
