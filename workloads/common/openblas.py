"""OpenBLAS as frameworks of 2020 and 2021 carry it: let it run the code that is best for this CPU.

That OpenBLAS knows Intel's CPUs by their model numbers, and on one that came later it runs its code for SSE, at a
quarter of the speed. A variable of its own overrules that; it is read when OpenBLAS is loaded, so call this before
NumPy or the framework is.
"""

import ctypes
import os

from workloads.common import cpu

VARIABLE = "OPENBLAS_CORETYPE"


def use_this_cpu(cpuinfo="/proc/cpuinfo"):
    """Overrule OpenBLAS's choice of code on a CPU of Intel's, unless the environment already does.

    An OpenBLAS built without code for AVX-512 takes its code for AVX2 when it is asked for the former."""
    flags = cpu.words(cpuinfo)
    if {"GenuineIntel", "avx2"} <= flags:
        os.environ.setdefault(VARIABLE, "SkylakeX" if "avx512vl" in flags else "Haswell")


def version(library):
    """The version of the OpenBLAS at path `library` and the CPU whose code it chose, for example `0.3.13 Haswell`."""
    openblas = ctypes.CDLL(library)
    for function in (openblas.openblas_get_config, openblas.openblas_get_corename):
        function.restype = ctypes.c_char_p
    number = openblas.openblas_get_config().decode().split()[1]  # "OpenBLAS 0.3.13 DYNAMIC_ARCH ..."
    return "{} {}".format(number, openblas.openblas_get_corename().decode())


def notes():
    """What a result must say of that."""
    return cpu.overruled(VARIABLE, "OpenBLAS")
