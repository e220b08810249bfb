"""What every job on Theano needs, whichever library builds the network: a C++ compiler, and an OpenBLAS at its best."""

import os

AVX512 = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}  # all that OpenBLAS's SkylakeX kernels use


def cpu_features():
    """The instruction sets of this CPU as Linux lists them, none elsewhere."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next((set(line.split(":")[1].split()) for line in file if line.startswith("flags")), set())
    except OSError:
        return set()


# The OpenBLAS of Debian 11 and 12 takes a CPU newer than itself for a Haswell. Where such a CPU has AVX-512, the kernels
# that use it are twice as fast. OpenBLAS reads the variable once, when Theano loads it.
if AVX512 <= cpu_features():
    os.environ.setdefault("OPENBLAS_CORETYPE", "SkylakeX")


def check():
    """Raise ImportError, naming the Debian package, where Theano would compute in Python or cannot link its BLAS."""
    import theano
    from theano.configdefaults import try_blas_flag

    if not theano.config.cxx:
        raise ImportError("Theano compiles C++ while it runs and found no g++: apt-get install g++")
    flags = theano.config.blas.ldflags
    if not (flags and try_blas_flag(flags.split())):
        raise ImportError(
            "Theano cannot link a BLAS with {!r}: apt-get install libopenblas-openmp-dev, "
            "or name another with THEANO_FLAGS=blas.ldflags=…".format(flags)
        )
