"""ResNet-50 feature extraction in PaddlePaddle.

The network of the paper, cut after global average pooling; `variant` v1.5 moves the stride to the 3x3 convolution.
Paddle Inference runs it, as its documentation advises for CPUs: with oneDNN, and BatchNorm folded into the
convolutions. It reads the model from a file.
"""

import os
import tempfile

import paddle
from paddle import inference, nn
from paddle.nn import functional as F

from workloads.common import bench
from workloads.paddle import runtime

STAGES = ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2))  # blocks, width, stride of the first block
EXPANSION = 4


class Bottleneck(nn.Layer):
    def __init__(self, channels, width, stride, variant):
        super().__init__()
        stride1, stride3 = (stride, 1) if variant == "v1" else (1, stride)
        self.conv1 = nn.Conv2D(channels, width, 1, stride=stride1, bias_attr=False)
        self.bn1 = nn.BatchNorm2D(width)
        self.conv2 = nn.Conv2D(width, width, 3, stride=stride3, padding=1, bias_attr=False)
        self.bn2 = nn.BatchNorm2D(width)
        self.conv3 = nn.Conv2D(width, width * EXPANSION, 1, bias_attr=False)
        self.bn3 = nn.BatchNorm2D(width * EXPANSION)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels != width * EXPANSION:
            conv = nn.Conv2D(channels, width * EXPANSION, 1, stride=stride, bias_attr=False)
            self.shortcut = nn.Sequential(("conv", conv), ("bn", nn.BatchNorm2D(width * EXPANSION)))

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        return F.relu(self.bn3(self.conv3(out)) + self.shortcut(x))


class ResNet50(nn.Layer):
    def __init__(self, variant):
        super().__init__()
        self.conv1 = nn.Conv2D(3, 64, 7, stride=2, padding=3, bias_attr=False)
        self.bn1 = nn.BatchNorm2D(64)
        channels = 64
        for number, (blocks, width, stride) in enumerate(STAGES, start=1):
            stage = nn.Sequential()
            for block in range(blocks):
                stage.append(Bottleneck(channels, width, stride if block == 0 else 1, variant))
                channels = width * EXPANSION
            self.add_sublayer("layer{}".format(number), stage)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, stride=2, padding=1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x.mean(axis=[2, 3])


def build(job):
    model = ResNet50(job.settings["variant"])
    names = {"gamma": "weight", "beta": "bias", "mean": "_mean", "var": "_variance"}
    weights = {}
    for name, array in job.weights().items():
        layer, kind = name.rsplit(".", 1)
        weights["{}.{}".format(layer, names.get(kind, kind))] = array
    runtime.load(model, weights)
    model.eval()
    return model


def predictor(job, model, shape):
    """`model`, compiled by Paddle Inference for batches of this shape."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "resnet50")
        paddle.jit.save(model, path, input_spec=[paddle.static.InputSpec(shape, "float32")])
        config = inference.Config(path + ".json", path + ".pdiparams")
        config.disable_gpu()
        config.enable_mkldnn()
        config.set_cpu_math_library_num_threads(job.threads)
        return inference.create_predictor(config)


def run(job):
    runtime.start(job, notes=["BatchNorm is folded into the convolutions"])
    images = job.images()
    model = build(job)
    with job.compiling():
        compiled = predictor(job, model, list(images[0].shape))

    def features(batch):
        (result,) = compiled.run([paddle.to_tensor(batch)])
        return result.numpy()

    job.ready()
    job.extract(features, images, sync=runtime.synchronize)


if __name__ == "__main__":
    bench.main(run)
