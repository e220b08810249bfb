"""ResNet-50 feature extraction in PyTorch.

The network of the paper, cut after global average pooling; `variant` v1.5 moves the stride to the 3x3 convolution.
The traced network is frozen, so that BatchNorm is folded into the convolutions, and operators are fused: on a CPU by
oneDNN Graph, on a GPU into cuDNN's convolution with sum and ReLU. That is TorchScript's work: torch.compile has a row
of its own. https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html
"""

import torch
from torch import nn
from torch.nn import functional as F

from workloads.common import bench
from workloads.pytorch import runtime

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


def optimised(model, images):
    """The network in TorchScript, for inference on batches like `images`."""
    if images.is_cuda:
        return torch.jit.optimize_for_inference(torch.jit.trace(model, images))
    torch.jit.enable_onednn_fusion(True)
    return torch.jit.freeze(torch.jit.trace(model, images))


def run(job):
    fused = job.precision != "amp"  # autocast has to see every operator
    device = runtime.start(job, notes=["BatchNorm is folded into the convolutions"] if fused else [])
    layout = runtime.image_layout(job, device)
    images = runtime.pinned(job.images(layout=layout), device)
    model = build(job, device, layout)

    def to_input(batch):
        return runtime.as_nchw(runtime.to_device(batch, device), layout)

    if fused:
        with job.compiling(), torch.no_grad():
            model = optimised(model, to_input(images[0]))

    @torch.inference_mode()
    def features(batch):
        with runtime.autocast(job, device):
            return model(to_input(batch)).float().cpu().numpy()

    job.ready()
    job.extract(features, images, sync=lambda: runtime.synchronize(device))


if __name__ == "__main__":
    bench.main(run)
