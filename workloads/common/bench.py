"""What must be equal in every framework: the job, the data, the batch order, the clock, the scoring, the events.

A workload file owns its model, its optimiser and its loop; this module owns the rest. The whole vocabulary:

    main(run, processes)           run a workload: run(job), with errors reported as events
    job.start(...)                 say what is running, before anything expensive
    job.data(...)  job.images(...) the dataset, as NumPy arrays
    job.windows(...)               a text, cut into windows, each with the characters that follow
    job.weights()                  the initial weights every framework shares
    job.compiling()                a block whose time is reported apart
    job.ready()                    everything is built; from here on time counts
    job.epochs(sync, weights)      the epochs of the training; within each of them
        epoch.batches(x, y, slots)     the batches, and the training clock around them
        epoch.step(loss)               a training step is done
        epoch.score(predict, x, y)     accuracy over all test samples; or
        epoch.score_loss(predict, …)   mean loss over them, in a workload scored by it
    job.extract(features, images)  the inference clock: one cold pass, then timed passes
    job.artifact(name, array)      keep a small array beside the result

`sync` waits until the device is idle. It has no default, because a clock read on a busy device measures nothing.
`weights` has none either: it shows the weights as they are now, under the names and in the shapes of job.weights(), so
that the result shows whether a training step did what it should.
Runs on Python 3.6 and later with nothing but NumPy. The event stream is specified in PROTOCOL.md.
"""

import contextlib
import hashlib
import json
import os
import sys
import traceback
import zipfile

import numpy as np
from numpy.lib.stride_tricks import as_strided

from workloads.common import cuda, ranks, startup
from workloads.common.epochs import Epoch
from workloads.common.events import Diverged, Events, Unreadable, clock, failure_class

PROTOCOL = 2
MOST_BATCHES = 10000  # in one pass event
LAYOUTS = {"NCHW": (0, 1, 2, 3), "NHWC": (0, 2, 3, 1)}


def main(run, processes=False):
    """Run the workload `run(job)` for the job described by BENCH_SPEC and end the process.

    With `processes`, each rank of the job is a process of its own: see ranks.py."""
    stream = startup.event_fd if startup.event_fd is not None else startup.claim_stdout()
    events = Events(stream) if ranks.own() == 0 else ranks.ErrorsOnly(stream)
    others = None
    try:
        path = os.environ["BENCH_SPEC"]
        with reading(path), open(path, encoding="utf-8") as file:
            spec = json.load(file)
        job = Job(spec, os.environ["BENCH_INPUTS"], events, processes)
        others = ranks.Others(job.processes if job.rank == 0 else 1, events)
        run(job)
        others.join()
        events.emit("end")
        sys.stderr.flush()
        os._exit(0)  # all is said: some frameworks hang or crash while they are torn down
    except Exception as error:  # noqa: BLE001  (whatever it is, the host must hear of it)
        traceback.print_exc()
        if others is not None:
            others.end()
        events.emit("error", kind=failure_class(error), type=type(error).__name__, message=str(error)[:2000])
        sys.exit(1)


@contextlib.contextmanager
def reading(path):
    """A block that reads `path`, one of the files the job was given."""
    try:
        yield
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:  # KeyError: a zip without its entry
        raise Unreadable("{} cannot be read: {}".format(path, error)) from error


class Job:
    """One workload of one framework on one device, with everything it is allowed to know."""

    def __init__(self, spec, inputs, events, processes=False):
        if spec["protocol"] != PROTOCOL:
            raise ValueError("this workload speaks protocol {}, the job {}".format(PROTOCOL, spec["protocol"]))
        self.framework = spec["framework"]
        self.workload = spec["workload"]
        self.device = spec["device"]  # "cpu" or "gpu"
        self.precision = spec["precision"]  # "fp32", ...
        self.seed = spec["seed"]
        self.settings = spec["settings"]  # the workload's own part of the run spec: epochs, batch, lr, ...
        self.ranks = spec["ranks"]  # parts of a training batch that are computed at the same time
        self.processes = self.ranks if processes else 1
        self.rank = ranks.own()  # which of the processes this is; 0 keeps the time, scores and sends the events
        self.threads = max(1, startup.available_cpus() // self.processes)
        self._trace = spec["trace"]  # report the loss of this many first steps, keep the features of as many batches
        self._learning_curve = spec["learning_curve"]  # score after every epoch, not only after the last
        self._inputs = inputs
        self.events = events
        self._created = clock()
        self._loading = self._compiling = 0.0

    @property
    def batch(self):
        """How many samples of each training batch this process computes."""
        return self.settings["batch"] // self.processes

    @property
    def meeting(self):
        """The path of a file through which the processes of this job can find each other."""
        return os.environ[ranks.MEETING]

    def start(self, version, versions=None, fused=None, notes=()):
        """Say what runs: the framework's version, those of its libraries, whether the recurrent kernel is a fused one
        (None where there is none to fuse), and what this framework does differently.

        Raises NotImplementedError for a precision that the device does not have, whatever the framework."""
        if (self.device, self.precision) == ("cpu", "tf32"):
            raise NotImplementedError("only GPUs compute in tf32, the job is for a CPU")
        self.events.emit(
            "start",
            protocol=PROTOCOL,
            framework=self.framework,
            workload=self.workload,
            version=version,
            versions=dict(versions or {}, python=sys.version.split()[0], numpy=np.__version__),
            device=self.device,
            device_name=cuda.name() if self.device == "gpu" else None,
            **({"gpus": cuda.visible_gpus()} if self.device == "gpu" else {}),
            **({"ranks": self.ranks} if self.ranks > 1 else {}),
            precision=self.precision,
            threads=startup.available_cpus(),
            fused=fused,
            denormals="flushed" if startup.denormals_flushed() else "kept",
            notes=list(notes),
        )

    def data(self, layout="NCHW", labels=np.int32):
        """The dataset as (x_train, y_train, x_test, y_test), cut to the samples the job asks for.

        Images: float32 in [0, 1], `layout` NCHW or NHWC. Reviews: int32 token ids, (n, 150). Labels: (n,)."""
        arrays = []
        with self._timed_loading():
            for split in ("train", "test"):
                samples = self.settings[split + "_samples"]  # None: all of them
                x, y = self._load("x_" + split)[:samples], self._load("y_" + split)[:samples]
                arrays += [_pixels(x, layout) if x.dtype == np.uint8 else np.array(x), y.astype(labels)]
        return arrays

    def windows(self, labels=np.int32):
        """A text as (x_train, y_train, x_test, y_test): character ids int32, and for each the one that follows it.

        All are (n, context). A training window starts at every character that has a whole one before the end; these
        overlap, and share their memory. The test windows lie side by side."""
        context = self.settings["context"]
        with self._timed_loading():
            train = self._load("text_train")[: self.settings["train_samples"]]
            test = self._load("text_test")
            scored = min(self.settings["test_samples"] or len(test), len(test) - 1) // context * context
            return [
                _overlapping(train[:-1].astype(np.int32), context),
                _overlapping(train[1:].astype(labels), context),
                test[:scored].astype(np.int32).reshape(-1, context),
                test[1 : scored + 1].astype(labels).reshape(-1, context),
            ]

    def images(self, layout="NCHW"):
        """The inference input: float32 (batches, batch, 3, 224, 224), or channels last."""
        with self._timed_loading():
            images = np.array(self._load("images"))
            if layout != "NCHW":
                images = np.ascontiguousarray(np.stack([batch.transpose(LAYOUTS[layout]) for batch in images]))
        return images

    def weights(self):
        """The initial weights, the same for every framework: {name: float32 array}, named as in PROTOCOL.md."""
        path = os.path.join(self._inputs, "weights.npz")
        with self._timed_loading(), reading(path), np.load(path) as archive:
            return {name: archive[name] for name in archive.files}

    @contextlib.contextmanager
    def compiling(self):
        """Time spent in this block is compilation: reported, not counted."""
        began = clock()
        yield
        self._compiling += clock() - began

    def ready(self):
        """Model built, data loaded, everything compiled that can be compiled ahead."""
        build = clock() - self._created - self._loading - self._compiling
        self.events.emit("ready", load_s=self._loading, build_s=build, compile_s=self._compiling)

    def epochs(self, sync, weights):
        """Yield the epochs of the training. `weights` returns all weights, like job.weights(), as they are when called.
        It is called after the first step of a job with a trace, and never in a job that is timed."""
        orders = self._load("order")
        epochs = self.settings["epochs"]
        if "steps" in self.settings:  # a row for each step, not for each epoch
            orders = orders.reshape(epochs, -1)
        for number in range(1, epochs + 1):
            last = number == epochs
            yield Epoch(
                self,
                number,
                orders[number - 1],
                sync=sync,
                weights=weights,
                trace=self._trace if number == 1 else 0,
                scored=last or self._learning_curve,
                keep_scores=last and self._trace > 0,
            )

    def extract(self, features, images, sync):
        """Time `features(batch)` -> (batch, 2048) NumPy array over all of `images`: a cold pass, then timed passes.

        There are as many timed passes as it takes to be at work for as long as the job asks, so that a clock and a
        power meter see something of a fast device, too. The first image's features in the first of them are kept: they
        show that what is timed is what was verified."""
        for event, at_least in (("cold", 0.0), ("inference", self.settings["seconds"])):
            seconds = []
            while not seconds or (sum(seconds) < at_least and len(seconds) + len(images) <= MOST_BATCHES):
                for batch in images:
                    sync()
                    began = clock()
                    result = features(batch)
                    sync()
                    seconds.append(clock() - began)
                    number = len(seconds) - 1
                    _check_features(result, len(batch))
                    if event == "cold" and number < self._trace:
                        self.artifact("features-{}".format(number), result)
                    if number == 0:
                        first = result[:1].copy()  # a framework may use its memory again
            samples = len(seconds) * images.shape[1]
            self.events.emit(event, samples=samples, seconds=sum(seconds), batch_seconds=seconds)
        self.artifact("timed-0", first)

    def artifact(self, name, array):
        """Send `array`, which is kept as NAME.npy beside the result."""
        array = np.asarray(array)
        data = array.astype(array.dtype.newbyteorder("<")).tobytes()
        digest = hashlib.sha256(data).hexdigest()
        self.events.emit("artifact", name=name + ".npy", dtype=str(array.dtype), shape=list(array.shape), sha256=digest)
        self.events.emit_parts(data)

    def keep_weights(self, weights):
        """Keep the weights after the first step, each as the artifact weights-1.NAME."""
        for name, initial in self.weights().items():
            array = np.asarray(weights[name])
            if array.shape != initial.shape:
                raise ValueError("weight {} has shape {}, not {}".format(name, array.shape, initial.shape))
            self.artifact("weights-1." + name, array)

    def _load(self, name):
        path = os.path.join(self._inputs, name + ".npy")
        with reading(path):
            return np.load(path, mmap_mode="r", allow_pickle=False)

    @contextlib.contextmanager
    def _timed_loading(self):
        began = clock()
        yield
        self._loading += clock() - began


def _pixels(x, layout):
    """uint8 (n, 3, h, w) -> float32 in [0, 1], contiguous in the wanted layout; H and W keep their order."""
    return np.ascontiguousarray(x.transpose(LAYOUTS[layout])).astype(np.float32) / np.float32(255)


def _overlapping(sequence, size):
    """All windows of `size` numbers: a view (n, size) whose row i starts at i."""
    (stride,) = sequence.strides
    return as_strided(sequence, shape=(len(sequence) - size + 1, size), strides=(stride, stride), writeable=False)


def _check_features(result, batch):
    if not isinstance(result, np.ndarray) or result.shape != (batch, 2048):
        raise ValueError("features must be an array of shape ({}, 2048), got {}".format(batch, np.shape(result)))
    if not np.isfinite(result).all():
        raise Diverged("features are not finite")
