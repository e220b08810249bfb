"use strict";
/*
What must be equal in every framework, for workloads of inference in JavaScript: the job, the inputs, the clock, the
events. The counterpart of bench.py, with the same vocabulary:

    bench.main(run)                          run a workload: run(job), with errors reported as events
    job.start({version, ...})                say what is running, before anything expensive
    job.images()                             the inference input: a Float32Array for each batch
    job.weights()                            the initial weights: name -> {shape, data}, named as in PROTOCOL.md
    await job.compiling(action)              run action(); its time is reported apart
    job.ready()                              everything is built; from here on time counts
    await job.extract(features, images, sync) the inference clock: one cold pass, then timed passes
    job.artifact(name, shape, data)          keep a small array beside the result

`features` and `sync` may return promises. `sync` waits until the device is idle; it has no default. Runs on Node.js 18
and later, without any package. Training is not here: epochs.py shows what it needs.
*/

const crypto = require("crypto");
const fs = require("fs");
const os = require("os");
const path = require("path");
const { performance } = require("perf_hooks");

const PROTOCOL = 2;
const MOST_BATCHES = 10000; // in one pass event
const PART_BYTES = 9000; // of an array in one line, which base64 makes a third longer
const FEATURES = 2048;
const TYPES = { "<f4": Float32Array, "<i4": Int32Array, "|u1": Uint8Array };
const NAMES = new Map([[Float32Array, "float32"], [Int32Array, "int32"], [Uint8Array, "uint8"]]);

class Diverged extends Error {} // features are not finite
class NotImplementedError extends Error {} // thrown by a workload for what its framework cannot do
class Unreadable extends Error {} // what the job was given to read cannot be read

/** Seconds on a monotonic clock. */
const clock = () => performance.now() / 1000;

/** Run the workload `run(job)` for the job described by BENCH_SPEC and end the process. */
async function main(run) {
  for (const name of ["log", "info", "debug"]) console[name] = console.error; // stdout is for events
  const events = new Events();
  try {
    const spec = JSON.parse(reading(process.env.BENCH_SPEC).toString("utf8"));
    await run(new Job(spec, process.env.BENCH_INPUTS, events));
    events.emit("end");
    process.exit(0); // all is said: what a framework does while it is torn down changes nothing
  } catch (error) {
    console.error(error);
    const type = error && error.constructor ? error.constructor.name : "Error";
    events.emit("error", { kind: failureClass(error), type, message: String(error.message || error).slice(0, 2000) });
    process.exit(1);
  }
}

/** Tell apart the failures that mean different things to the person who has to act on them. */
function failureClass(error) {
  if (error instanceof Diverged) return "diverged";
  if (error instanceof NotImplementedError) return "unsupported";
  if (error instanceof Unreadable) return "input";
  return /out of memory|bad_alloc|allocation failed/i.test(String(error)) ? "out_of_memory" : "exception";
}

/** The bytes of a file that the job was given. Throws Unreadable. */
function reading(file) {
  try {
    return fs.readFileSync(file);
  } catch (error) {
    throw new Unreadable(`${file} cannot be read: ${error.message}`);
  }
}

/** The event stream: one JSON object per line, numbered, written whole. */
class Events {
  constructor() {
    this.sequence = 0;
    this.started = clock();
  }

  emit(event, fields = {}) {
    const record = { event, seq: this.sequence++, t: clock() - this.started, ...fields };
    const finite = (key, value) => {
      if (typeof value === "number" && !Number.isFinite(value)) throw new Error(`${event}: ${key} is not finite`);
      return value;
    };
    writeAll(JSON.stringify(record, finite) + "\n");
  }

  /** Write the bytes of the artifact whose event came before. */
  emitParts(bytes) {
    for (let first = 0; first < bytes.length; first += PART_BYTES) {
      writeAll(`{"part":"${bytes.subarray(first, first + PART_BYTES).toString("base64")}"}\n`);
    }
  }
}

/** Write to standard output at once: process.stdout would write later, and process.exit could lose the rest. */
function writeAll(text) {
  let rest = Buffer.from(text);
  while (rest.length) {
    try {
      rest = rest.subarray(fs.writeSync(1, rest));
    } catch (error) {
      if (error.code !== "EAGAIN") throw error; // the pipe is full
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

/** One workload of one framework on one device, with everything it is allowed to know. */
class Job {
  constructor(spec, inputs, events) {
    if (spec.protocol !== PROTOCOL) throw new Error(`this workload speaks protocol ${PROTOCOL}, the job ${spec.protocol}`);
    Object.assign(this, spec); // framework, workload, device, precision, seed, trace, settings
    this.threads = os.availableParallelism ? os.availableParallelism() : os.cpus().length; // those it was given
    this.inputs = inputs;
    this.events = events;
    this.created = clock();
    this.loadSeconds = 0;
    this.compileSeconds = 0;
  }

  start({ version, versions = {}, deviceName = null, fused = null, notes = [] }) {
    this.events.emit("start", {
      protocol: PROTOCOL,
      framework: this.framework,
      workload: this.workload,
      version,
      versions: { node: process.versions.node, ...versions },
      device: this.device,
      device_name: deviceName,
      precision: this.precision,
      threads: this.threads,
      fused,
      denormals: 2.2250738585072014e-308 * Number("0.5") === 0 ? "flushed" : "kept",
      notes,
    });
  }

  images() {
    const { shape, data } = this._loading(() => array(reading(path.join(this.inputs, "images.npy")), "images.npy"));
    const size = data.length / shape[0];
    return Array.from({ length: shape[0] }, (_, batch) => data.subarray(batch * size, (batch + 1) * size));
  }

  weights() {
    return this._loading(() => archive(reading(path.join(this.inputs, "weights.npz")), "weights.npz"));
  }

  async compiling(action) {
    const began = clock();
    const result = await action();
    this.compileSeconds += clock() - began;
    return result;
  }

  ready() {
    const build = clock() - this.created - this.loadSeconds - this.compileSeconds;
    this.events.emit("ready", { load_s: this.loadSeconds, build_s: build, compile_s: this.compileSeconds });
  }

  /** Time `features(batch)`, a Float32Array of batch x 2048 in host memory, over all of `images`: a cold pass, then timed
   * passes, as many as it takes to be at work for as long as the job asks. */
  async extract(features, images, sync) {
    const { batch } = this.settings;
    let timed;
    for (const [event, shortest] of [["cold", 0], ["inference", this.settings.seconds]]) {
      const seconds = [];
      let total = 0;
      while (!seconds.length || (total < shortest && seconds.length + images.length <= MOST_BATCHES)) {
        for (const pixels of images) {
          await sync();
          const began = clock();
          const result = await features(pixels);
          await sync();
          const number = seconds.push(clock() - began) - 1;
          total += seconds[number];
          if (result.length !== batch * FEATURES) throw new Error(`features are ${result.length} numbers, not ${batch * FEATURES}`);
          if (!result.every(Number.isFinite)) throw new Diverged("features are not finite");
          if (event === "cold" && number < this.trace) this.artifact(`features-${number}`, [batch, FEATURES], result);
          if (number === 0) timed = result.slice(0, FEATURES); // a copy: a framework may use its memory again
        }
      }
      this.events.emit(event, { samples: batch * seconds.length, seconds: total, batch_seconds: seconds });
    }
    this.artifact("timed-0", [1, FEATURES], timed); // shows that what is timed is what was verified
  }

  artifact(name, shape, data) {
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    const sha256 = crypto.createHash("sha256").update(bytes).digest("hex");
    this.events.emit("artifact", { name: `${name}.npy`, dtype: NAMES.get(data.constructor), shape, sha256 });
    this.events.emitParts(bytes);
  }

  _loading(action) {
    const began = clock();
    const result = action();
    this.loadSeconds += clock() - began;
    return result;
  }
}

/** The array in the bytes of a .npy file: {shape, data}. Throws Unreadable. */
function array(bytes, name) {
  const start = bytes[6] === 1 ? 10 : 12;
  if (bytes.length < start || bytes.toString("latin1", 1, 6) !== "NUMPY") throw new Unreadable(`${name} is no .npy file`);
  const end = start + (start === 10 ? bytes.readUInt16LE(8) : bytes.readUInt32LE(8));
  const header = bytes.toString("latin1", start, end);
  const found = /'descr': *'([^']*)', *'fortran_order': *False, *'shape': *\(([^)]*)\)/.exec(header);
  const Type = found && TYPES[found[1]];
  if (!Type) throw new Unreadable(`${name} holds something else than ${Object.keys(TYPES).join(", ")} in C order`);
  const shape = found[2].split(",").filter((text) => text.trim()).map(Number);
  const length = shape.reduce((product, axis) => product * axis, 1);
  const size = length * Type.BYTES_PER_ELEMENT;
  if (bytes.length < end + size) throw new Unreadable(`${name} is truncated`);
  const copy = bytes.buffer.slice(bytes.byteOffset + end, bytes.byteOffset + end + size); // typed arrays must be aligned
  return { shape, data: new Type(copy) };
}

/** The arrays of a .npz file: name -> {shape, data}. np.savez compresses nothing. Throws Unreadable. */
function archive(bytes, name) {
  const end = bytes.lastIndexOf("PK\x05\x06", undefined, "latin1"); // APPNOTE.TXT, section 4.3.16
  if (end < 0) throw new Unreadable(`${name} is truncated, or no .npz file`);
  const arrays = {};
  let at = bytes.readUInt32LE(end + 16);
  for (let left = bytes.readUInt16LE(end + 10); left > 0; left--) { // section 4.3.12
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((offset) => bytes.readUInt16LE(at + offset));
    const entry = bytes.toString("utf8", at + 46, at + 46 + nameLength);
    if (bytes.readUInt16LE(at + 10) !== 0) throw new Unreadable(`${name}: ${entry} is compressed`);
    const local = bytes.readUInt32LE(at + 42);
    const content = local + 30 + bytes.readUInt16LE(local + 26) + bytes.readUInt16LE(local + 28);
    arrays[entry.replace(/\.npy$/, "")] = array(bytes.subarray(content), `${name}: ${entry}`);
    at += 46 + nameLength + extraLength + commentLength;
  }
  return arrays;
}

module.exports = { Diverged, Unreadable, NotImplementedError, main };
