"""The compiler and the BLAS that Theano 1.0 works with."""

import ctypes

import theano
from theano.configdefaults import try_blas_flag


def check():
    """Raise ImportError, naming the Debian package, where Theano would compute in Python or cannot link its BLAS."""
    if not theano.config.cxx:
        raise ImportError("Theano compiles C++ while it runs and found no g++: apt-get install g++")
    flags = theano.config.blas.ldflags
    if not (flags and try_blas_flag(flags.split())):
        raise ImportError(
            "Theano cannot link a BLAS with {!r}: apt-get install libopenblas-openmp-dev, "
            "or name another one in THEANO_FLAGS=blas.ldflags=...".format(flags)
        )


def versions():
    """Theano and, where it is the BLAS in use, OpenBLAS with its version and the CPU it has kernels for."""
    found = {"theano": theano.__version__}
    if "-lopenblas" in theano.config.blas.ldflags.split():
        describe = ctypes.CDLL("libopenblas.so.0").openblas_get_config
        describe.restype = ctypes.c_char_p
        found["openblas"] = describe().decode()
    return found
