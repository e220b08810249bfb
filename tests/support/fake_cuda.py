"""A stand-in for NVIDIA's driver library, libcuda.so.1."""

import ctypes
import uuid
from typing import Any

from workloads.common import cuda


def _value(reference: Any) -> ctypes.c_int:
    """The integer behind ctypes.byref."""
    return ctypes.cast(reference, ctypes.POINTER(ctypes.c_int)).contents


class Driver:
    """Shows GPUs with these UUIDs; asking for one that is `broken` fails. `capability` is the first one's."""

    def __init__(self, *uuids: str, version: int = 2, broken: tuple[int, ...] = (), capability: tuple[int, ...] = ()):
        self.uuids = uuids
        self.broken = broken
        self.attributes = dict(zip(cuda.COMPUTE_CAPABILITY, capability, strict=bool(capability)))
        setattr(self, "cuDeviceGetUuid_v2" if version == 2 else "cuDeviceGetUuid", self.uuid_of)

    def cuInit(self, flags: int) -> int:  # noqa: N802  (CUDA's name)
        return 0 if self.uuids else 100

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        _value(count).value = len(self.uuids)
        return 0

    def cuDeviceGet(self, device: Any, index: int) -> int:  # noqa: N802
        _value(device).value = index
        return 101 if index in self.broken else 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, device: int) -> int:  # noqa: N802
        _value(value).value = self.attributes[attribute]
        return 0

    def cuDeviceGetName(self, text: Any, size: int, device: ctypes.c_int) -> int:  # noqa: N802
        text.value = f"GPU {device.value}".encode()[: size - 1]
        return 0

    def uuid_of(self, raw: Any, device: ctypes.c_int) -> int:
        raw[:] = uuid.UUID(self.uuids[device.value]).bytes
        return 0
