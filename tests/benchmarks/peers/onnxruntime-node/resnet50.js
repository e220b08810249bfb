"use strict";
/*
ResNet-50 features in a session as the documentation of the JavaScript API makes one, with its options as they are.

https://onnxruntime.ai/docs/get-started/with-javascript/node.html
https://onnxruntime.ai/docs/api/js/interfaces/InferenceSession-1.html
*/

const fs = require("fs");
const ort = require("onnxruntime-node");
const { onnx } = require("onnx-proto");

const { settings } = JSON.parse(fs.readFileSync(process.env.BENCH_SPEC, "utf8"));
const { FLOAT } = onnx.TensorProto.DataType;
const { INTS } = onnx.AttributeProto.AttributeType;
const node = [];
const initializer = [];

const ints = (name, ...values) => ({ name, type: INTS, ints: values });

function op(opType, input, ...attribute) {
  const output = `${opType}_${node.length}`;
  node.push({ opType, input, output: [output], attribute });
  return output;
}

function constant(dims, next) {
  const floatData = Array.from({ length: dims.reduce((a, b) => a * b) }, next);
  const rawData = new Uint8Array(Float32Array.from(floatData).buffer);
  const name = `constant_${initializer.length}`;
  initializer.push({ name, dims, dataType: FLOAT, rawData });
  return name;
}

function convBn(x, channels, filters, kernel, stride = 1) {
  const bound = Math.sqrt(6 / (channels * kernel * kernel));
  const pad = Math.floor(kernel / 2);
  const w = constant([filters, channels, kernel, kernel], () => (2 * Math.random() - 1) * bound);
  const conv = op("Conv", [x, w], ints("strides", stride, stride), ints("pads", pad, pad, pad, pad));
  return op("BatchNormalization", [conv, ...[1, 0, 0, 1].map((value) => constant([filters], () => value))]);
}

function bottleneck(x, channels, width, stride) {
  const [stride1, stride3] = settings.variant === "v1" ? [stride, 1] : [1, stride];
  let out = op("Relu", [convBn(x, channels, width, 1, stride1)]);
  out = op("Relu", [convBn(out, width, width, 3, stride3)]);
  out = convBn(out, width, 4 * width, 1);
  const shortcut = channels === 4 * width ? x : convBn(x, channels, 4 * width, 1, stride);
  return op("Relu", [op("Add", [out, shortcut])]);
}

function model() {
  let x = op("Relu", [convBn("images", 3, 64, 7, 2)]);
  x = op("MaxPool", [x], ints("kernel_shape", 3, 3), ints("strides", 2, 2), ints("pads", 1, 1, 1, 1));
  let channels = 64;
  for (const [width, blocks, stride] of [[64, 3, 1], [128, 4, 2], [256, 6, 2], [512, 3, 2]]) {
    for (let block = 0; block < blocks; block++) {
      x = bottleneck(x, channels, width, block ? 1 : stride);
      channels = 4 * width;
    }
  }
  op("Flatten", [op("GlobalAveragePool", [x])]);
  node[node.length - 1].output = ["features"];
  const floats = (name, ...shape) => ({
    name,
    type: { tensorType: { elemType: FLOAT, shape: { dim: shape.map((dimValue) => ({ dimValue })) } } },
  });
  const input = [floats("images", settings.batch, 3, 224, 224)];
  const output = [floats("features", settings.batch, 2048)];
  const graph = { name: "resnet50", node, initializer, input, output };
  return onnx.ModelProto.encode({ irVersion: 8, opsetImport: [{ domain: "", version: 17 }], graph }).finish();
}

async function main() {
  const session = await ort.InferenceSession.create(model());
  const dims = [settings.batch, 3, 224, 224];
  const random = () => Float32Array.from({ length: settings.batch * 3 * 224 * 224 }, Math.random);
  const photos = Array.from({ length: settings.batches }, random);
  let began;
  for (const _ of ["cold", "timed"]) {
    began = process.hrtime.bigint();
    for (const batch of photos) await session.run({ images: new ort.Tensor("float32", batch, dims) });
  }
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  console.log(JSON.stringify({ samples: settings.batches * settings.batch, seconds }));
}

main();
