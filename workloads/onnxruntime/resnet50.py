"""ResNet-50 feature extraction in ONNX Runtime.

The network of the paper, cut after global average pooling; `variant` v1.5 moves the stride to the 3x3 convolution.
A graph of ONNX operators is written with the weights in it. ONNX Runtime optimises it when the session is made: it
folds BatchNorm into the convolutions, merges ReLU and the sums with them, and gives images the order that its
convolutions want.
"""

import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from workloads.common import bench
from workloads.onnxruntime import runtime

STAGES = ((3, 1), (4, 2), (6, 2), (3, 2))  # blocks, stride of the first block
OPSET = 21  # of ONNX's operators


class ResNet50:
    """Writes the graph: each method adds nodes and returns the name of what the last one computes."""

    def __init__(self, weights, variant):
        self.weights = weights
        self.variant = variant
        self.nodes = []

    def node(self, operator, *inputs, **attributes):
        output = "{}{}".format(operator, len(self.nodes))
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def conv(self, x, name, stride=1, pad=0):
        return self.node("Conv", x, name + ".weight", strides=[stride, stride], pads=[pad] * 4)

    def norm(self, x, name):
        kinds = (name + "." + kind for kind in ("gamma", "beta", "mean", "var"))
        return self.node("BatchNormalization", x, *kinds, epsilon=1e-5)

    def relu(self, x):
        return self.node("Relu", x)

    def bottleneck(self, x, name, stride):
        stride1, stride3 = (stride, 1) if self.variant == "v1" else (1, stride)
        out = self.relu(self.norm(self.conv(x, name + ".conv1", stride1), name + ".bn1"))
        out = self.relu(self.norm(self.conv(out, name + ".conv2", stride3, pad=1), name + ".bn2"))
        out = self.norm(self.conv(out, name + ".conv3"), name + ".bn3")
        if name + ".shortcut.conv.weight" in self.weights:
            x = self.norm(self.conv(x, name + ".shortcut.conv", stride), name + ".shortcut.bn")
        return self.relu(self.node("Add", out, x))

    def forward(self, x):
        x = self.relu(self.norm(self.conv(x, "conv1", stride=2, pad=3), "bn1"))
        x = self.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
        for stage, (blocks, stride) in enumerate(STAGES, start=1):
            for block in range(blocks):
                x = self.bottleneck(x, "layer{}.{}".format(stage, block), stride if block == 0 else 1)
        return self.node("Flatten", self.node("GlobalAveragePool", x))


def build(job):
    weights = job.weights()
    network = ResNet50(weights, job.settings["variant"])
    features = network.forward("images")
    batch = job.settings["batch"]
    graph = helper.make_graph(
        network.nodes,
        "resnet50",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, (batch, 3, 224, 224))],
        [helper.make_tensor_value_info(features, TensorProto.FLOAT, (batch, 2048))],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(graph, opset_imports=[opset], ir_version=helper.find_min_ir_version_for([opset]))


def run(job):
    options = runtime.start(job, notes=["ONNX Runtime folds BatchNorm into the convolutions"])
    images = job.images()
    model = build(job)
    with job.compiling():
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def features(batch):
        return session.run(None, {"images": batch})[0]

    job.ready()
    job.extract(features, images, sync=runtime.synchronize)


if __name__ == "__main__":
    bench.main(run)
