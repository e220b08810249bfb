"""Where a CNTK job runs: the device, its threads and seed, and how to wait for it."""

import cntk as C
import numpy as np

from workloads.common import mkl


def start(job, fused=None, notes=()):
    """Set CNTK up for this job and announce it."""
    configure(job)
    job.start(version=C.__version__, fused=fused, **facts(notes))


def configure(job):
    """Give CNTK this job's device, CPUs and seed.

    Raises ValueError where there is no such device, NotImplementedError for a precision other than fp32."""
    if job.precision != "fp32":
        raise NotImplementedError("CNTK computes in fp32 here, the job asks for {}".format(job.precision))
    if not C.device.try_set_default_device(C.gpu(0) if job.device == "gpu" else C.cpu()):
        raise ValueError("CNTK cannot use the {}".format(job.device))
    C.cntk_py.set_max_num_cputhreads(job.threads)  # or CNTK takes all CPUs of the machine, whatever OpenMP is set to
    C.cntk_py.reset_random_seed(job.seed)  # each dropout layer takes the next one


def on_gpu():
    """Whether CNTK computes on a GPU, once configured."""
    return C.device.use_default_device().type() == C.device.DeviceKind.GPU.value


def facts(notes=()):
    """What a result must say of CNTK on this machine, as arguments of job.start."""
    return {"versions": {"mkl": mkl.version()}, "notes": [*notes, *mkl.notes()]}


def synchronize(model):
    """Wait until every update of `model` has happened: reading a parameter waits for the device."""
    return model.parameters[-1].value


def compile_ahead(trainer, batch, model, x):
    """Compile training on `batch` {variable: array} and prediction of `model` from `x`, and leave no trace of it.

    CNTK compiles a network when it first runs. The one step this takes is undone, in the weights and the learner."""
    before = [weight.value for weight in model.parameters]
    trainer.train_minibatch(batch)
    model.eval(x)
    for weight, value in zip(model.parameters, before):
        weight.value = value
    for learner in trainer.parameter_learners:
        learner.reset_smoothed_gradients()


def parameter(array, name=""):
    """A learnable parameter that starts as `array`."""
    return C.parameter(init=np.ascontiguousarray(array), name=name)
