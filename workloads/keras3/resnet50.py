"""ResNet-50 feature extraction in Keras 3.

The network of the paper, cut after global average pooling; `variant` v1.5 moves the stride to the 3x3 convolution.
keras.applications.ResNet50 is another network: its convolutions have biases and its BatchNorm another epsilon.
"""

import keras
from keras import layers

from workloads.common import bench
from workloads.keras3 import runtime

STAGES = ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2))  # blocks, width, stride of the first block
EXPANSION = 4


def conv_norm(x, channels, size, stride, conv, norm):
    if size > 1:  # padding="same" would pad a stride of 2 at the end only
        x = layers.ZeroPadding2D(size // 2)(x)
    x = layers.Conv2D(channels, size, strides=stride, use_bias=False, name=conv)(x)
    return layers.BatchNormalization(epsilon=1e-5, name=norm)(x)


def bottleneck(x, name, width, stride, variant, project):
    stride1, stride3 = (stride, 1) if variant == "v1" else (1, stride)
    out = layers.ReLU()(conv_norm(x, width, 1, stride1, name + "-conv1", name + "-bn1"))
    out = layers.ReLU()(conv_norm(out, width, 3, stride3, name + "-conv2", name + "-bn2"))
    out = conv_norm(out, width * EXPANSION, 1, 1, name + "-conv3", name + "-bn3")
    if project:
        x = conv_norm(x, width * EXPANSION, 1, stride, name + "-shortcut-conv", name + "-shortcut-bn")
    return layers.ReLU()(layers.Add()([out, x]))


def network(variant):
    inputs = keras.Input((224, 224, 3))
    x = layers.ReLU()(conv_norm(inputs, 64, 7, 2, "conv1", "bn1"))
    x = layers.MaxPooling2D(3, strides=2)(layers.ZeroPadding2D(1)(x))  # never negative here, so zeros never win
    for stage, (blocks, width, stride) in enumerate(STAGES, start=1):
        for block in range(blocks):
            name = "layer{}-{}".format(stage, block)
            x = bottleneck(x, name, width, stride if block == 0 else 1, variant, project=block == 0)
    return keras.Model(inputs, layers.GlobalAveragePooling2D(dtype="float32")(x))


def build(job):
    model = network(job.settings["variant"])
    weights = job.weights()
    for layer in model.layers:
        name = runtime.dotted(layer.name)
        if isinstance(layer, layers.Conv2D):
            layer.set_weights([weights.pop(name + ".weight").transpose(2, 3, 1, 0)])
        elif isinstance(layer, layers.BatchNormalization):
            kinds = ("gamma", "beta", "mean", "var")
            layer.set_weights([weights.pop("{}.{}".format(name, kind)) for kind in kinds])
    if weights:
        raise ValueError("the network has no place for {}".format(sorted(weights)))
    return model


def run(job):
    runtime.start(job)
    images = job.images(layout="NHWC")
    model = build(job)
    features = runtime.predictor(model)
    with job.compiling():
        features(images[0])
    job.ready()
    job.extract(features, images, sync=lambda: None)  # the device is idle when its features are in the host's memory


if __name__ == "__main__":
    bench.main(run)
