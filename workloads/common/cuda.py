"""NVIDIA's libraries as wheels bring them: in folders that the dynamic linker does not search.

What is loaded already it need not find, so they are loaded by path, before a framework asks for them by name. Nothing
in the environment is changed.
"""

import ctypes
import importlib.util
import os

COMPUTE_CAPABILITY = (75, 76)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR


def load(paths):
    """Load libraries, given as paths below the package `nvidia`, in the order in which they need one another.

    Does nothing where that package is not installed: in an environment for CPUs, or where CUDA is the system's."""
    nvidia = importlib.util.find_spec("nvidia")
    if nvidia is not None:
        for path in paths:
            ctypes.CDLL(os.path.join(nvidia.submodule_search_locations[0], path), mode=ctypes.RTLD_GLOBAL)


def capability():
    """(major, minor) of the compute capability of the first GPU, as the driver tells it; (0, 0) without one."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0, 0
    value, parts = ctypes.c_int(0), []
    if driver.cuInit(0) != 0:
        return 0, 0
    for attribute in COMPUTE_CAPABILITY:
        if driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, 0) != 0:
            return 0, 0
        parts.append(value.value)
    return tuple(parts)
