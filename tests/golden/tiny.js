"use strict";
// The stories of inference, as tiny.py tells them.

const path = require("path");

const bench = require(path.join(process.cwd(), "workloads/common_js/bench.js"));

async function extract(job) {
  job.start({ version: "1.0" });
  const images = job.images();
  job.ready();
  const features = (pixels) => {
    const mean = pixels.reduce((sum, each) => sum + each, 0) / pixels.length;
    return new Float32Array(job.settings.batch * 2048).fill(mean);
  };
  await job.extract(features, images, () => {});
}

function refuse(job) {
  job.start({ version: "1.0" });
  throw new bench.NotImplementedError("no such precision");
}

bench.main({ extract, refuse }[process.argv[2]]);
