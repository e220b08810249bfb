"use strict";
/* Where a job of ONNX Runtime in Node.js runs: its threads and precision. And the frame of any ONNX model. */

const bench = require("../common_js/bench.js");
const { InferenceSession, Tensor, env } = require("onnxruntime-node");
const { onnx } = require("onnx-proto");

const OPSET = 21; // of ONNX's operators
const IR_VERSION = 10; // the oldest form of a model that may have them

/** The bytes of a model with this graph: {node, input, output, initializer}. */
function model(graph) {
  const opsetImport = [{ domain: "", version: OPSET }];
  return onnx.ModelProto.encode({ irVersion: IR_VERSION, opsetImport, graph: { name: "graph", ...graph } }).finish();
}

/** An input or output of a graph: an array of floats. */
function floats(name, shape) {
  const dim = shape.map((size) => ({ dimValue: size }));
  return { name, type: { tensorType: { elemType: onnx.TensorProto.DataType.FLOAT, shape: { dim } } } };
}

/** Announce this job and return the options of its session. Throws NotImplementedError for any precision but fp32. */
async function start(job, notes = []) {
  if (job.precision !== "fp32") throw new bench.NotImplementedError(`this workload computes in fp32, not in ${job.precision}`);
  const options = {
    executionProviders: ["cpu"],
    graphOptimizationLevel: "all",
    intraOpNumThreads: job.threads,
    extra: { session: { set_denormal_as_zero: "1" } },
  };
  // JavaScript cannot flush denormal floats. The first session of a process makes this thread do so: here, the smallest.
  const node = [{ opType: "Identity", input: ["x"], output: ["y"] }];
  await InferenceSession.create(model({ node, input: [floats("x", [1])], output: [floats("y", [1])] }), options);
  job.start({ version: env.versions.node, notes });
  return options;
}

/** Wait until the device has finished. ONNX Runtime returns when the result is there. */
function synchronize() {}

module.exports = { InferenceSession, Tensor, floats, model, start, synchronize };
