"""ResNet-50 features in a session as the documentation makes one: all its options, all graph optimisations, as they are.

https://onnxruntime.ai/docs/get-started/with-python.html
https://onnxruntime.ai/docs/performance/tune-performance/threading.html
https://onnx.ai/onnx/api/helper.html
"""

import time

import onnxruntime as ort
import peer
from onnx import TensorProto, helper, numpy_helper

BATCH = peer.SETTINGS["batch"]
nodes, initializers = [], []


def op(kind, *inputs, **attributes):
    output = "{}_{}".format(kind, len(nodes))
    nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
    return output


def constant(array):
    initializers.append(numpy_helper.from_array(array.astype("float32"), "constant_{}".format(len(initializers))))
    return initializers[-1].name


def conv_bn(x, channels, filters, kernel, stride=1):
    w = peer.RANDOM.randn(filters, channels, kernel, kernel) * (2 / (channels * kernel * kernel)) ** 0.5
    x = op("Conv", x, constant(w), kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[kernel // 2] * 4)
    ones = peer.np.ones(filters)
    return op("BatchNormalization", x, *(constant(each) for each in (ones, 0 * ones, 0 * ones, ones)), epsilon=1e-5)


def bottleneck(x, channels, width, stride):
    strides = (stride, 1) if peer.SETTINGS["variant"] == "v1" else (1, stride)
    out = op("Relu", conv_bn(x, channels, width, 1, strides[0]))
    out = op("Relu", conv_bn(out, width, width, 3, strides[1]))
    out = conv_bn(out, width, 4 * width, 1)
    if channels != 4 * width:
        x = conv_bn(x, channels, 4 * width, 1, stride)
    return op("Relu", op("Add", out, x))


x = op("Relu", conv_bn("images", 3, 64, 7, 2))
x = op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
channels = 64
for width, blocks, stride in (64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2):
    for block in range(blocks):
        x = bottleneck(x, channels, width, 1 if block else stride)
        channels = 4 * width
output = op("Flatten", op("GlobalAveragePool", x))

inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, [BATCH, 3, 224, 224])]
outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, [BATCH, 2048])]
graph = helper.make_graph(nodes, "resnet50", inputs, outputs, initializers)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
images = peer.photos()

for _ in "cold", "timed":
    began = time.perf_counter()
    for batch in images:
        session.run([output], {"images": batch})
    seconds = time.perf_counter() - began
peer.report(len(images) * BATCH, seconds)
