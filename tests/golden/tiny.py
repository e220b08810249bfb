"""The smallest workloads there can be, for golden streams: no model worth the name, every verb of bench."""

import sys

import numpy as np

from workloads.common import bench


def sync():
    pass


def train(job):
    job.start(version="1.0", versions={"library": "2.0"}, fused=False, notes=["computes nothing"])
    x_train, y_train, x_test, y_test = job.data(layout="NHWC")
    weights = job.weights()
    with job.compiling():
        pass
    job.ready()
    print("a framework's chatter on stdout")  # noqa: T201  (that it does no harm is what is tested)
    for epoch in job.epochs(sync=sync, weights=lambda: weights):
        for x, _ in epoch.batches(x_train, y_train):
            epoch.step(lambda x=x: float(x.mean()) + float(weights["bias"][0]))
        epoch.score(lambda x: np.eye(10)[np.zeros(len(x), int)], x_test, y_test, pad=True)
    job.artifact("weights", weights["bias"])


def extract(job):
    job.start(version="1.0")
    images = job.images()
    job.ready()
    job.extract(lambda batch: np.full((len(batch), 2048), batch.mean(), np.float32), images, sync=sync)


def diverge(job):
    job.start(version="1.0")
    x_train, y_train, _, _ = job.data()
    job.ready()
    for epoch in job.epochs(sync=sync, weights=dict):
        for _ in epoch.batches(x_train, y_train):
            epoch.step(float("nan"))


def refuse(job):
    job.start(version="1.0")
    raise NotImplementedError("no such precision")


bench.main({"train": train, "extract": extract, "diverge": diverge, "refuse": refuse}[sys.argv[1]])
