"""The libraries that NumPy and iDeep bring along: their versions, and MKL's choice of code for this CPU.

MKL of 2018 looks at the maker of a CPU before anything else, and on AMD's it runs code for SSE: Chainer's
convolutions then take ten times as long. A variable of MKL's own overrules that; it is read when MKL is first used.
"""

import ctypes
import glob
import os

import numpy as np

VARIABLE = "MKL_DEBUG_CPU_TYPE"
AVX2, AVX512 = "5", "7"  # MKL's names for them
AVX512_PARTS = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}  # what its code for servers relies on


def let_mkl_use_this_cpu():
    """Overrule MKL's choice of code on a CPU of AMD's, unless the environment already does."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        cpu = file.read().partition("\n\n")[0].split()
    if "AuthenticAMD" in cpu and "avx2" in cpu:
        os.environ.setdefault(VARIABLE, AVX512 if AVX512_PARTS.issubset(cpu) else AVX2)


def notes():
    """What a result must say of that."""
    code = os.environ.get(VARIABLE)
    return ["{}={} overrules MKL's choice of code for this CPU".format(VARIABLE, code)] if code else []


def ideep_versions():
    """The versions of what iDeep computes with, once it is loaded: {"mkl": "2018.0.3", "mkl-dnn": "0.14.0"}."""
    import ideep4py  # not before the variable is set

    text = ctypes.create_string_buffer(198)
    ctypes.CDLL("libmklml_intel.so").MKL_Get_Version_String(text, len(text))
    mkl = text.value.decode().partition("Version ")[2].split()[0]
    (path,) = glob.glob(os.path.join(os.path.dirname(ideep4py.__file__), "lib", "libmkldnn.so.*.*"))
    return {"ideep": ideep4py.__version__, "mkl": mkl, "mkl-dnn": path.partition(".so.")[2]}


def openblas_version():
    """The version of the OpenBLAS in NumPy's wheel, None where NumPy was built with another BLAS."""
    folder = os.path.join(os.path.dirname(np.__path__[0]), "numpy.libs")
    paths = glob.glob(os.path.join(folder, "libopenblas*.so"))
    if not paths:
        return None
    function = ctypes.CDLL(paths[0]).openblas_get_config
    function.restype = ctypes.c_char_p
    return function().decode().split()[1]
