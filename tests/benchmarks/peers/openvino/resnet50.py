"""ResNet-50 features as OpenVINO's guide says for one batch after the other: the hint for latency, and one request.

Its hint for throughput runs several batches at a time, and so answers another question than the row.
https://docs.openvino.ai/2025/openvino-workflow/running-inference/optimize-inference/high-level-performance-hints.html
https://docs.openvino.ai/2025/openvino-workflow/running-inference/optimize-inference/optimizing-latency.html
"""

import time

import openvino as ov
import openvino.properties.hint as hints
import peer
from openvino import opset13 as ops

BATCH = peer.SETTINGS["batch"]


def conv_bn(x, channels, filters, kernel, stride=1):
    w = peer.RANDOM.randn(filters, channels, kernel, kernel) * (2 / (channels * kernel * kernel)) ** 0.5
    pads = [kernel // 2] * 2
    x = ops.convolution(x, ops.constant(w.astype("float32")), [stride] * 2, pads, pads, [1, 1])
    ones = peer.np.ones(filters, "float32")
    return ops.batch_norm_inference(x, ones, 0 * ones, 0 * ones, ones, 1e-5)


def bottleneck(x, channels, width, stride):
    strides = (stride, 1) if peer.SETTINGS["variant"] == "v1" else (1, stride)
    out = ops.relu(conv_bn(x, channels, width, 1, strides[0]))
    out = ops.relu(conv_bn(out, width, width, 3, strides[1]))
    out = conv_bn(out, width, 4 * width, 1)
    if channels != 4 * width:
        x = conv_bn(x, channels, 4 * width, 1, stride)
    return ops.relu(ops.add(out, x))


images = ops.parameter([BATCH, 3, 224, 224], ov.Type.f32)
x = ops.relu(conv_bn(images, 3, 64, 7, 2))
x = ops.max_pool(x, [2, 2], [1, 1], [1, 1], [1, 1], [3, 3]).output(0)
channels = 64
for width, blocks, stride in (64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2):
    for block in range(blocks):
        x = bottleneck(x, channels, width, 1 if block else stride)
        channels = 4 * width
model = ov.Model([ops.reduce_mean(x, [2, 3])], [images])

config = {hints.performance_mode: hints.PerformanceMode.LATENCY, hints.inference_precision: ov.Type.f32}
request = ov.Core().compile_model(model, "CPU", config).create_infer_request()
photos = peer.photos()

for _ in "cold", "timed":
    began = time.perf_counter()
    features = [request.infer({0: batch}, share_inputs=True)[0].copy() for batch in photos]
    seconds = time.perf_counter() - began
peer.report(len(photos) * BATCH, seconds)
