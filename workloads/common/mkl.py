"""Intel's MKL as frameworks of 2018 and 2019 carry it: let it run the code that is best for this CPU.

That MKL looks at the maker of a CPU before anything else, and on AMD's it runs its code for SSE, at a half to a tenth
of the speed. A variable of its own overrules that; it is read when MKL is loaded, so call this before the framework is.
"""

import ctypes
import os

from workloads.common import cpu

VARIABLE = "MKL_DEBUG_CPU_TYPE"
AVX2, AVX512 = "5", "7"  # MKL's numbers for them
AVX512_PARTS = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}  # what its code for servers relies on


def use_this_cpu():
    """Overrule MKL's choice of code on a CPU of AMD's, unless the environment already does."""
    flags = cpu.words()
    if {"AuthenticAMD", "avx2"} <= flags:
        os.environ.setdefault(VARIABLE, AVX512 if flags >= AVX512_PARTS else AVX2)


def version():
    """MKL's own version, e.g. "2018.0.3", once the framework has loaded it."""
    text = ctypes.create_string_buffer(198)
    ctypes.CDLL("libmklml_intel.so").MKL_Get_Version_String(text, len(text))
    return text.value.decode().partition("Version ")[2].split()[0]


def notes():
    """What a result must say of that."""
    return cpu.overruled(VARIABLE, "MKL")
