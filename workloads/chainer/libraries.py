"""The libraries that NumPy and iDeep bring along: their versions."""

import ctypes
import glob
import os

import numpy as np

from workloads.common import mkl


def ideep_versions():
    """The versions of what iDeep computes with, once it is loaded: {"mkl": "2018.0.3", "mkl-dnn": "0.14.0"}."""
    import ideep4py  # not before the variable is set

    (path,) = glob.glob(os.path.join(os.path.dirname(ideep4py.__file__), "lib", "libmkldnn.so.*.*"))
    return {"ideep": ideep4py.__version__, "mkl": mkl.version(), "mkl-dnn": path.partition(".so.")[2]}


def openblas_version():
    """The version of the OpenBLAS in NumPy's wheel, None where NumPy was built with another BLAS."""
    folder = os.path.join(os.path.dirname(np.__path__[0]), "numpy.libs")
    paths = glob.glob(os.path.join(folder, "libopenblas*.so"))
    if not paths:
        return None
    function = ctypes.CDLL(paths[0]).openblas_get_config
    function.restype = ctypes.c_char_p
    return function().decode().split()[1]
