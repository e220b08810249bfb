"""Where a Chainer job runs: the device, its seed and weights, and how to wait for it."""

import math
import os

import chainer
import numpy as np
from chainer import functions as F
from chainer.backends import cuda

from workloads.chainer import libraries
from workloads.common import mkl, openblas

WORKSPACE = 1 << 30  # bytes that cuDNN's kernels may use; many of the fast ones need more than Chainer's 8 MiB
# Chainer's names for what a link holds, where they differ from ours
NAMES = {"weight": "W", "bias": "b"}
AT_A_TIME = 2**15  # numbers that Adam updates on a CPU


def start(job, ideep=True, fused=None, notes=()):
    """Set Chainer up for this job, announce it, and return the chainer.Device to use.

    `ideep`: whether the workload gains from it on a CPU. Raises NotImplementedError for a precision other than fp32,
    RuntimeError where iDeep or the GPU is missing."""
    if job.precision != "fp32":
        raise NotImplementedError("Chainer computes in fp32 here, the job asks for {}".format(job.precision))
    if job.device == "gpu":
        device = use_gpu(job)
        versions = gpu_versions()
    elif ideep:
        device = chainer.get_device("@intel64")
        versions = libraries.ideep_versions()
        notes = [*notes, *mkl.notes()]
    else:
        device = chainer.get_device("@numpy")
        versions = {"openblas": libraries.openblas_version()}
        notes = [*notes, *openblas.notes()]
    chainer.global_config.use_ideep = "auto" if ideep else "never"
    job.start(version=chainer.__version__, versions=versions, fused=fused, notes=notes)
    return device


def use_gpu(job):
    """The GPU, with what must be said to it before it is first used."""
    os.environ["CHAINER_SEED"] = str(job.seed)  # of cuDNN's dropout
    chainer.global_config.autotune = True  # shapes never change, so let cuDNN measure its kernels once
    cuda.set_max_workspace_size(WORKSPACE)
    device = chainer.get_device("@cupy:0")
    device.use()
    return device


def gpu_versions():
    return {
        "cupy": cuda.cupy.__version__,
        "cuda": str(cuda.cupy.cuda.runtime.runtimeGetVersion()),
        "cudnn": str(cuda.cupy.cuda.cudnn.getVersion()),
    }


def synchronize(device):
    """Wait until `device` has finished all its work. A CPU always has."""
    if device.xp is cuda.cupy:
        device.device.synchronize()


def rehearse_update(optimizer, device):
    """Take the step that a backward pass has prepared, and undo it.

    On a GPU an optimizer's kernels are compiled when they first run; a CPU has none to compile."""
    if device.xp is cuda.cupy:
        step_and_back(optimizer)


def step_and_back(optimizer):
    """Update the weights, put them back, and let the optimizer begin anew."""
    model = optimizer.target
    before = {name: weight.copy() for name, weight in weights_of(model).items()}
    optimizer.update()
    set_weights(model, before)
    optimizer.setup(model)


def to_numpy(variable):
    """The value of a Variable as a NumPy array, from iDeep's own layout or from the GPU."""
    return chainer.get_device("@numpy").send(variable.array)


def set_weights(model, weights):
    """Load {"link.name": NumPy array} into `model`. Raises KeyError where one is missing."""
    state = {}
    for path, array in weights.items():
        link, name = path.rsplit(".", 1)
        state["{}/{}".format(link.replace(".", "/"), NAMES.get(name, name))] = array
    chainer.serializers.NpzDeserializer(state).load(model)


def weights_of(model):
    """The weights of `model` as they are now, like those that set_weights takes."""
    names = {theirs: ours for ours, theirs in NAMES.items()}
    found = {}
    for path, parameter in model.namedparams():  # "/link/W"
        link, name = path[1:].rsplit("/", 1)
        found["{}.{}".format(link.replace("/", "."), names.get(name, name))] = to_numpy(parameter)
    return found


class Dropout:
    """chainer.functions.dropout, with masks from NumPy on a CPU: (x, rate) -> as x.

    iDeep seeds its generator with the time of day, in seconds, at every call: all masks drawn within a second are the
    same, and no seed of ours makes a run repeatable."""

    def __init__(self, seed):
        self.generator = np.random.default_rng(seed)

    def __call__(self, x, rate):
        if not chainer.config.train or not isinstance(x.array, chainer.get_cpu_array_types()):
            return F.dropout(x, rate)
        kept = self.generator.random(x.shape, dtype=x.dtype) >= rate
        return F.dropout(x, rate, mask=kept * x.dtype.type(1 / (1 - rate)))


class Adam(chainer.optimizers.Adam):
    """Adam as published: w ← w − lr · m̂ / (√v̂ + ε).

    Chainer adds ε to √v, which still lacks the bias correction √(1 − β₂ᵗ); scaled by the same factor, ε is ε again."""

    def __init__(self, epsilon, **options):
        super().__init__(**options)
        self.published_epsilon = epsilon

    def create_update_rule(self):
        return AdamRule(self.hyperparam)

    def update(self, *args, **kwargs):
        self.eps = self.published_epsilon * math.sqrt(1 - self.beta2 ** (self.t + 1))
        super().update(*args, **kwargs)


class AdamRule(chainer.optimizers.adam.AdamRule):
    """Chainer's own, which on a CPU updates so many numbers at a time that all it computes stays in the cache."""

    def update_core_cpu(self, param):
        whole, grad = dict(self.state), param.grad
        rows = max(1, AT_A_TIME // param.array[0].size)
        for first in range(0, len(param), rows):
            part = slice(first, first + rows)
            self.state.update((name, array[part]) for name, array in whole.items())
            super().update_core_cpu(chainer.Variable(param.array[part], grad=grad[part]))
        self.state.update(whole)
