"""ResNet-50 features in Paddle Inference, as its guide for CPUs says: oneDNN on, the IR optimised, zero-copy handles.

https://www.paddlepaddle.org.cn/inference/master/guides/x86_cpu_infer/paddle_x86_cpu_fp32_en.html
https://www.paddlepaddle.org.cn/inference/master/api_reference/python_api_doc/Config/CPUConfig.html
"""

import time

import paddle
import peer
from paddle import inference, nn

BATCH = peer.SETTINGS["batch"]


def conv_bn(channels, filters, kernel, stride=1):
    conv = nn.Conv2D(channels, filters, kernel, stride, kernel // 2, bias_attr=False)
    return conv, nn.BatchNorm2D(filters)


class Bottleneck(nn.Layer):
    def __init__(self, channels, width, stride):
        super().__init__()
        stride1, stride3 = (stride, 1) if peer.SETTINGS["variant"] == "v1" else (1, stride)
        self.body = nn.Sequential(
            *conv_bn(channels, width, 1, stride1), nn.ReLU(),
            *conv_bn(width, width, 3, stride3), nn.ReLU(),
            *conv_bn(width, 4 * width, 1),
        )  # fmt: skip
        self.downsample = nn.Identity()
        if channels != 4 * width:
            self.downsample = nn.Sequential(*conv_bn(channels, 4 * width, 1, stride))

    def forward(self, x):
        return nn.functional.relu(self.body(x) + self.downsample(x))


layers = [*conv_bn(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2D(3, 2, 1)]
channels = 64
for width, blocks, stride in (64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2):
    for block in range(blocks):
        layers.append(Bottleneck(channels, width, 1 if block else stride))
        channels = 4 * width
model = nn.Sequential(*layers, nn.AdaptiveAvgPool2D(1), nn.Flatten())
model.eval()
paddle.jit.save(model, "resnet50", [paddle.static.InputSpec([BATCH, 3, 224, 224], "float32", "images")])

config = inference.Config("resnet50.json", "resnet50.pdiparams")
config.disable_gpu()
config.enable_mkldnn()
config.set_cpu_math_library_num_threads(peer.THREADS)
predictor = inference.create_predictor(config)
source = predictor.get_input_handle(predictor.get_input_names()[0])
features = predictor.get_output_handle(predictor.get_output_names()[0])
photos = peer.photos()

for _ in "cold", "timed":
    began = time.perf_counter()
    for batch in photos:
        source.copy_from_cpu(batch)
        predictor.run()
        features.copy_to_cpu()
    seconds = time.perf_counter() - began
peer.report(len(photos) * BATCH, seconds)
