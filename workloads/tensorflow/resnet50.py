"""ResNet-50 feature extraction in TensorFlow, without Keras.

The network of the paper, cut after global average pooling; `variant` v1.5 moves the stride to the 3x3 convolution.
On a GPU the graph is compiled with XLA; on a CPU TensorFlow merges convolution, normalisation and ReLU into one
oneDNN kernel.
"""

import numpy as np
import tensorflow as tf

from workloads.common import bench
from workloads.tensorflow import runtime

STAGES = ((3, 1), (4, 2), (6, 2), (3, 2))  # blocks, stride of the first block


class ResNet50(tf.Module):
    def __init__(self, weights, variant):
        super().__init__()
        self.weights = {name: tf.Variable(array, name=name, trainable=False) for name, array in weights.items()}
        self.variant = variant

    def conv(self, x, name, stride=1, pad=0):
        # "SAME" would pad a stride of 2 at the end only, where the paper's network pads both sides.
        padding = [[0, 0], [pad, pad], [pad, pad], [0, 0]]
        return tf.nn.conv2d(x, self.weights[name + ".weight"], stride, padding)

    def norm(self, x, name):
        gamma, beta, mean, var = (self.weights["{}.{}".format(name, kind)] for kind in ("gamma", "beta", "mean", "var"))
        return tf.raw_ops.FusedBatchNormV3(
            x=x, scale=gamma, offset=beta, mean=mean, variance=var, epsilon=1e-5, is_training=False
        ).y

    def bottleneck(self, x, name, stride):
        stride1, stride3 = (stride, 1) if self.variant == "v1" else (1, stride)
        out = tf.nn.relu(self.norm(self.conv(x, name + ".conv1", stride1), name + ".bn1"))
        out = tf.nn.relu(self.norm(self.conv(out, name + ".conv2", stride3, pad=1), name + ".bn2"))
        out = self.norm(self.conv(out, name + ".conv3"), name + ".bn3")
        if name + ".shortcut.conv.weight" in self.weights:
            x = self.norm(self.conv(x, name + ".shortcut.conv", stride), name + ".shortcut.bn")
        return tf.nn.relu(out + x)

    def __call__(self, x):
        x = tf.nn.relu(self.norm(self.conv(x, "conv1", stride=2, pad=3), "bn1"))
        x = tf.nn.max_pool2d(x, 3, 2, [[0, 0], [1, 1], [1, 1], [0, 0]])
        for stage, (blocks, stride) in enumerate(STAGES, start=1):
            for block in range(blocks):
                x = self.bottleneck(x, "layer{}.{}".format(stage, block), stride if block == 0 else 1)
        return tf.reduce_mean(x, axis=(1, 2))


def build(job):
    weights = {}
    for name, array in job.weights().items():
        weights[name] = np.ascontiguousarray(array.transpose(2, 3, 1, 0)) if array.ndim == 4 else array
    return ResNet50(weights, job.settings["variant"])


def run(job):
    runtime.start(job)
    images = job.images(layout="NHWC")
    model = build(job)
    extract = tf.function(model, jit_compile=job.device == "gpu", autograph=False)

    def features(batch):
        return extract(batch).numpy()

    with job.compiling():
        features(images[0])
    job.ready()
    job.extract(features, images, sync=runtime.synchronize)


if __name__ == "__main__":
    bench.main(run)
