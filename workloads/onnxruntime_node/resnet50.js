"use strict";
/*
ResNet-50 feature extraction in ONNX Runtime, from JavaScript.

The network of the paper, cut after global average pooling; `variant` v1.5 moves the stride to the 3x3 convolution.
A graph of ONNX operators is written with the weights in it. ONNX Runtime optimises it when the session is made: it
folds BatchNorm into the convolutions, merges ReLU and the sums with them, and gives images the order that its
convolutions want.
*/

const bench = require("../common_js/bench.js"); // first, before the framework prints anything
const runtime = require("./runtime.js");
const { onnx } = require("onnx-proto");

const STAGES = [[3, 1], [4, 2], [6, 2], [3, 2]]; // blocks, stride of the first block
const { INTS, FLOAT } = onnx.AttributeProto.AttributeType;

const ints = (name, values) => ({ name, type: INTS, ints: values });
const float = (name, value) => ({ name, type: FLOAT, f: value });

/** Writes the graph: each method adds nodes and returns the name of what the last one computes. */
class ResNet50 {
  constructor(weights, variant) {
    this.weights = weights;
    this.variant = variant;
    this.nodes = [];
  }

  node(opType, input, ...attribute) {
    const output = `${opType}${this.nodes.length}`;
    this.nodes.push({ opType, input, output: [output], attribute });
    return output;
  }

  conv(x, name, stride = 1, pad = 0) {
    return this.node("Conv", [x, `${name}.weight`], ints("strides", [stride, stride]), ints("pads", [pad, pad, pad, pad]));
  }

  norm(x, name) {
    const kinds = ["gamma", "beta", "mean", "var"].map((kind) => `${name}.${kind}`);
    return this.node("BatchNormalization", [x, ...kinds], float("epsilon", 1e-5));
  }

  relu(x) {
    return this.node("Relu", [x]);
  }

  bottleneck(x, name, stride) {
    const [stride1, stride3] = this.variant === "v1" ? [stride, 1] : [1, stride];
    let out = this.relu(this.norm(this.conv(x, `${name}.conv1`, stride1), `${name}.bn1`));
    out = this.relu(this.norm(this.conv(out, `${name}.conv2`, stride3, 1), `${name}.bn2`));
    out = this.norm(this.conv(out, `${name}.conv3`), `${name}.bn3`);
    if (`${name}.shortcut.conv.weight` in this.weights) {
      x = this.norm(this.conv(x, `${name}.shortcut.conv`, stride), `${name}.shortcut.bn`);
    }
    return this.relu(this.node("Add", [out, x]));
  }

  forward(x) {
    x = this.relu(this.norm(this.conv(x, "conv1", 2, 3), "bn1"));
    x = this.node("MaxPool", [x], ints("kernel_shape", [3, 3]), ints("strides", [2, 2]), ints("pads", [1, 1, 1, 1]));
    for (const [stage, [blocks, stride]] of STAGES.entries()) {
      for (let block = 0; block < blocks; block++) {
        x = this.bottleneck(x, `layer${stage + 1}.${block}`, block === 0 ? stride : 1);
      }
    }
    return this.node("Flatten", [this.node("GlobalAveragePool", [x])]);
  }
}

/** The bytes of the model, and the name of its output. */
function build(job) {
  const weights = job.weights();
  const network = new ResNet50(weights, job.settings.variant);
  const output = network.forward("images");
  const { batch } = job.settings;
  const model = runtime.model({
    node: network.nodes,
    input: [runtime.floats("images", [batch, 3, 224, 224])],
    output: [runtime.floats(output, [batch, 2048])],
    initializer: Object.entries(weights).map(([name, { shape, data }]) => ({
      name,
      dims: shape,
      dataType: onnx.TensorProto.DataType.FLOAT,
      rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    })),
  });
  return { model, output };
}

bench.main(async (job) => {
  const options = await runtime.start(job, ["ONNX Runtime folds BatchNorm into the convolutions"]);
  const images = job.images();
  const { model, output } = build(job);
  const session = await job.compiling(() => runtime.InferenceSession.create(model, options));

  const shape = [job.settings.batch, 3, 224, 224];
  const features = async (pixels) => {
    const results = await session.run({ images: new runtime.Tensor("float32", pixels, shape) });
    return results[output].data;
  };

  job.ready();
  await job.extract(features, images, runtime.synchronize);
});
