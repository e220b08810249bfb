"""Where a Theano job runs: the device, the compiler and the BLAS. Lasagne and Keras build on it."""

import ctypes

import theano
from theano import gpuarray
from theano.configdefaults import try_blas_flag

from workloads.common import openblas

OPENBLAS = "libopenblas.so.0"
ON_OPENMP = 2  # what OpenBLAS calls it


def configure(job):
    """Give Theano this job's device, and make sure that it can compile what runs there.

    Raises NotImplementedError for a precision other than fp32, ImportError for a missing system package, RuntimeError
    for a missing GPU."""
    if job.precision != "fp32":
        raise NotImplementedError("Theano computes in fp32 here, the job asks for {}".format(job.precision))
    openblas.use_this_cpu()  # the system's, which is loaded with the first function that needs it
    if not theano.config.cxx:  # it would compute in Python
        raise ImportError("Theano compiles C++ while it runs and found no g++: apt-get install g++")
    if not blas_links():
        raise ImportError(
            "Theano cannot link a BLAS with {!r}: apt-get install libopenblas-pthread-dev, "
            "or name another one in THEANO_FLAGS=blas.ldflags=...".format(theano.config.blas.ldflags)
        )
    if job.device == "gpu":
        use_gpu()


def blas_links():
    """Whether a program links and runs with Theano's BLAS flags. Without them it has a slow BLAS of its own."""
    flags = theano.config.blas.ldflags
    return bool(flags and try_blas_flag(flags.split()))


def use_gpu():
    """Move computation and weights to the GPU."""
    if gpuarray.pygpu is None:
        raise RuntimeError("Theano needs pygpu to use a GPU, which has no wheel (see docs/gpu.md): use the CPU")
    gpuarray.use("cuda")


def facts(notes=()):
    """What a result must say of Theano on this machine, as arguments of job.start."""
    versions, notes = {"theano": theano.__version__}, list(notes)
    if "-lopenblas" in theano.config.blas.ldflags.split():
        versions["openblas"] = openblas.version(OPENBLAS)
        notes += openblas.notes()
        if ctypes.CDLL(OPENBLAS).openblas_get_parallel() == ON_OPENMP:
            # A convolution tells BLAS to use one thread, then starts threads of OpenMP: this BLAS leaves it one.
            notes.append("OpenBLAS is built on OpenMP, so convolutions run on one thread")
    return {"versions": versions, "notes": notes}
