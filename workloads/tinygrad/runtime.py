"""Where a tinygrad job runs: the devices, their threads and precision, and how to wait for them.

tinygrad compiles C for every kernel, with clang, and runs the kernels of a CPU device one after another in one thread.
To use several CPUs a job takes one device for each, "CPU:0", "CPU:1", …, as the same program would take several GPUs:
each has a copy of the weights and its part of every batch. https://docs.tinygrad.org/tensor/creation/#tinygrad.Tensor.shard
"""

import os
import subprocess
from importlib import metadata  # novm: where tinygrad is, Python is newer

from tinygrad import Device, Tensor, nn

CALLS_THAT_COMPILE = range(2)  # TinyJit runs a function at its first call, records it at its second, then replays it
WAIT_MS = 3600 * 1000  # for one kernel; tinygrad's own 30 seconds are short for a CPU that others use too
CC = os.environ.get("CC", "clang")


def start(job, fused=None, notes=()):
    """Set tinygrad up for this job, announce it, and return the names of the devices to use.

    Raises NotImplementedError for a GPU or a precision other than fp32, FileNotFoundError where there is no clang."""
    if (job.device, job.precision) != ("cpu", "fp32"):
        asked = "{} on a {}".format(job.precision, job.device)
        raise NotImplementedError("these workloads compute in fp32 on a CPU, the job asks for {}".format(asked))
    Tensor.manual_seed(job.seed)
    count = next(n for n in range(job.threads, 0, -1) if job.settings["batch"] % n == 0)
    devices = tuple("CPU:{}".format(number) for number in range(count))
    notes = ["Each of {} devices, with a thread of its own, takes an equal part of every batch".format(count), *notes]
    for device in (*devices, "CPU"):
        Device[device].wait_timeout_ms = WAIT_MS
    versions = {"clang": clang_version()}
    job.start(version=metadata.version("tinygrad"), versions=versions, fused=fused, notes=notes)
    return devices


def clang_version():
    """For example "14.0.6"."""
    return subprocess.check_output([CC, "-dumpversion"], universal_newlines=True).strip()


def synchronize(devices):
    """Wait until all `devices` have finished their work."""
    for device in devices:
        Device[device].synchronize()


def split(batch, devices, axis=0):
    """A NumPy batch as a tensor of which each device has a part."""
    return Tensor(batch, device="CPU").shard(devices, axis=axis).realize()


def copied(array, devices):
    """A NumPy array as a tensor of which each device has a copy."""
    return Tensor(array, device="CPU").shard(devices).realize()


def loaded(model, weights, devices):
    """`model` with a copy of each of the `weights`, {name: NumPy array}, on each of the `devices`."""
    for name, tensor in nn.state.get_state_dict(model).items():
        tensor.replace(copied(weights[name], devices))
    return model


def weights_of(model):
    """The weights as they are now, under the names they came with."""
    return {name: tensor.numpy() for name, tensor in nn.state.get_state_dict(model).items()}


def rehearse(model, optimizer, calls):
    """Make the `calls` that will be timed as often as TinyJit needs to compile them, then set everything back:
    weights, the optimizer's state and how many random numbers were drawn."""
    state = [*nn.state.get_parameters(model), *nn.state.get_parameters(optimizer)]
    before = [tensor.numpy() for tensor in state]
    for _ in CALLS_THAT_COMPILE:
        calls()
    for tensor, array in zip(state, before):
        tensor.assign(like(array, tensor)).realize()
    for counter in Tensor._device_rng_counters.values():  # noqa: SLF001  (nothing public sets them back)
        counter.assign(counter.zeros_like()).realize()


def like(array, tensor):
    """A NumPy array on the devices of `tensor`."""
    return copied(array, tensor.device) if isinstance(tensor.device, tuple) else Tensor(array, device=tensor.device)
