"""ResNet-50 feature extraction in PyTorch, with torch.compile.

The network of the paper, cut after global average pooling; `variant` v1.5 moves the stride to the 3x3 convolution.
The compiler freezes the weights: they are constants to it, so that it folds BatchNorm into the convolutions and, on a
CPU, packs their weights once instead of at every call.
"""

import torch
from torch import nn
from torch._inductor import config
from torch.nn import functional as F

from workloads.common import bench
from workloads.pytorch import runtime
from workloads.pytorch_compile import inductor

STAGES = ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2))  # blocks, width, stride of the first block
EXPANSION = 4


class Bottleneck(nn.Module):
    def __init__(self, channels, width, stride, variant):
        super().__init__()
        stride1, stride3 = (stride, 1) if variant == "v1" else (1, stride)
        self.conv1 = nn.Conv2d(channels, width, 1, stride=stride1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * EXPANSION, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * EXPANSION)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels != width * EXPANSION:
            self.shortcut.add_module("conv", nn.Conv2d(channels, width * EXPANSION, 1, stride=stride, bias=False))
            self.shortcut.add_module("bn", nn.BatchNorm2d(width * EXPANSION))

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        return F.relu(self.bn3(self.conv3(out)) + self.shortcut(x))


class ResNet50(nn.Module):
    def __init__(self, variant):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels = 64
        for number, (blocks, width, stride) in enumerate(STAGES, start=1):
            stage = nn.Sequential()
            for block in range(blocks):
                stage.append(Bottleneck(channels, width, stride if block == 0 else 1, variant))
                channels = width * EXPANSION
            self.add_module("layer{}".format(number), stage)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, stride=2, padding=1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x.mean(dim=(2, 3))


def build(job, device, layout):
    model = ResNet50(job.settings["variant"])
    names = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "var": "running_var"}
    state = {}
    for name, array in job.weights().items():
        layer, kind = name.rsplit(".", 1)
        state["{}.{}".format(layer, names.get(kind, kind))] = torch.from_numpy(array)
        if kind == "var":
            state[layer + ".num_batches_tracked"] = torch.tensor(0)  # PyTorch counts batches while it trains
    model.load_state_dict(state)
    return model.to(device, memory_format=runtime.MEMORY_FORMATS[layout]).eval()


def run(job):
    device = runtime.start(job, notes=["BatchNorm is folded into the convolutions"])
    config.freezing = True
    layout = runtime.image_layout(job, device)
    images = runtime.pinned(job.images(layout=layout), device)
    network = inductor.compiler(device)(build(job, device, layout))

    @torch.inference_mode()
    def features(batch):
        x = runtime.as_nchw(runtime.to_device(batch, device), layout)
        with runtime.autocast(job, device):
            return network(x).float().cpu().numpy()

    with job.compiling():
        inductor.repeat(device, features, images[0])
    job.ready()
    job.extract(features, images, sync=lambda: runtime.synchronize(device))


if __name__ == "__main__":
    bench.main(run)
