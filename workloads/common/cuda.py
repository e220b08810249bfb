"""NVIDIA's driver, and its libraries as wheels bring them: in folders that the dynamic linker does not search.

What is loaded already it need not find, so they are loaded by path, before a framework asks for them by name. Nothing
in the environment is changed.
"""

import ctypes
import importlib.util
import os
import uuid

COMPUTE_CAPABILITY = (75, 76)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR


def load(paths):
    """Load libraries, given as paths below the package `nvidia`, in the order in which they need one another.

    Does nothing where that package is not installed: in an environment for CPUs, or where CUDA is the system's."""
    nvidia = importlib.util.find_spec("nvidia")
    if nvidia is not None:
        for path in paths:
            ctypes.CDLL(os.path.join(nvidia.submodule_search_locations[0], path), mode=ctypes.RTLD_GLOBAL)


def driver():
    """NVIDIA's driver, ready to be asked; None without one, or where it has no GPU."""
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    return library if library.cuInit(0) == 0 else None


def visible_gpus():
    """UUIDs of the GPUs this process can use, as the driver tells them; empty without any."""
    cuda = driver()
    count, device, raw = ctypes.c_int(0), ctypes.c_int(0), (ctypes.c_ubyte * 16)()
    if cuda is None or cuda.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return []
    # The second version names the slice where a GPU is divided; drivers before CUDA 11.4 have only the first.
    get_uuid = getattr(cuda, "cuDeviceGetUuid_v2", None) or cuda.cuDeviceGetUuid
    return [
        "GPU-{}".format(uuid.UUID(bytes=bytes(raw)))
        for index in range(count.value)
        if cuda.cuDeviceGet(ctypes.byref(device), index) == 0 and get_uuid(raw, device) == 0
    ]


def name():
    """The name of the first GPU this process can use, as the driver tells it; None without one."""
    cuda, device, text = driver(), ctypes.c_int(0), ctypes.create_string_buffer(256)
    if cuda is None or cuda.cuDeviceGet(ctypes.byref(device), 0) != 0:
        return None
    return text.value.decode() if cuda.cuDeviceGetName(text, len(text), device) == 0 else None


def capability():
    """(major, minor) of the compute capability of the first GPU, as the driver tells it; (0, 0) without one."""
    cuda, value, parts = driver(), ctypes.c_int(0), []
    for attribute in COMPUTE_CAPABILITY:
        if cuda is None or cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, 0) != 0:
            return 0, 0
        parts.append(value.value)
    return tuple(parts)
