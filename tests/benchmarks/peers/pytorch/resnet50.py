"""Features of ResNet-50 with what PyTorch's tuning guide says for inference on a CPU: channels last and oneDNN Graph.

https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html
In the folder pytorch-compile the model is compiled and its weights are frozen:
https://docs.pytorch.org/tutorials/intermediate/torch_compile_tutorial.html
"""

import time

import peer
import torch
from torch import nn
from torch.nn import functional as F


def convolution(inputs, outputs, kernel, stride):
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs))


class Bottleneck(nn.Module):
    def __init__(self, inputs, width, stride):
        super().__init__()
        first, second = (stride, 1) if peer.SETTINGS["variant"] == "v1" else (1, stride)
        self.branch = nn.Sequential(
            convolution(inputs, width, 1, first), nn.ReLU(inplace=True),
            convolution(width, width, 3, second), nn.ReLU(inplace=True),
            convolution(width, 4 * width, 1, 1),
        )  # fmt: skip
        same = stride == 1 and inputs == 4 * width
        self.shortcut = nn.Identity() if same else convolution(inputs, 4 * width, 1, stride)

    def forward(self, x):
        return F.relu(self.branch(x) + self.shortcut(x))


def resnet50():
    layers = [convolution(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, padding=1)]
    inputs = 64
    for blocks, width, stride in ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2)):
        for block in range(blocks):
            layers.append(Bottleneck(inputs, width, 1 if block else stride))
            inputs = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


@torch.inference_mode()
def extract(net, photos):
    return [net(torch.from_numpy(batch).contiguous(memory_format=torch.channels_last)).numpy() for batch in photos]


photos = peer.photos()
net = resnet50().to(memory_format=torch.channels_last).eval()
if "pytorch-compile" in __file__:
    from torch._inductor import config

    config.freezing = True
    net = torch.compile(net)
else:
    torch.jit.enable_onednn_fusion(True)
    example = torch.from_numpy(photos[0]).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        net = torch.jit.freeze(torch.jit.trace(net, example))

extract(net, photos[:2])
began = time.perf_counter()
extract(net, photos)
peer.report(photos.shape[0] * photos.shape[1], time.perf_counter() - began)
