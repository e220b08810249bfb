"""What this machine is: the facts a figure depends on, and those a plan needs."""

from __future__ import annotations

import hashlib
import hmac
import os
import platform
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import psutil


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One NVIDIA GPU as the driver describes it; None where it does not say."""

    index: int  # NVML's
    name: str
    uuid: str
    memory: int | None  # bytes
    capability: str  # compute capability, "9.0"
    power_limit: float | None = None  # W, as enforced now
    ecc: bool | None = None  # error-correcting memory, persistence mode and MIG: on or off now
    persistence: bool | None = None
    mig: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Host:
    """This machine. Memory in bytes."""

    cpu: str
    cpus: tuple[int, ...]  # the CPUs this process may use
    memory: int
    system: str
    kernel: str
    machine: str
    driver: str | None  # NVIDIA driver version
    gpus: tuple[Gpu, ...]  # those this process may use
    id: str | None = None  # tells this installation from others; None where the system has no such thing
    cuda: str | None = None  # the CUDA the driver supports, "12.4"
    driver_problem: str | None = None  # why a driver that is installed offers no GPU, in NVML's words

    def facts(self) -> dict[str, Any]:
        """For a result's provenance: as JSON will have it."""
        return {**asdict(self), "cpus": list(self.cpus), "gpus": [asdict(gpu) for gpu in self.gpus]}

    def title(self) -> str:
        """One line that names the machine under a table."""
        gpus = f", {len(self.gpus)} x {self.gpus[0].name}" if self.gpus else ""
        return f"{self.cpu}, {len(self.cpus)} CPUs, {self.memory / 2**30:.0f} GiB{gpus}"


def inspect() -> Host:
    """Look at this machine. Takes milliseconds; never fails for want of a GPU."""
    host = Host(
        cpu=_cpu_model(),
        cpus=tuple(sorted(_affinity())),
        memory=psutil.virtual_memory().total,
        system=_system(),
        kernel=platform.release(),
        machine=platform.machine(),
        driver=None,
        gpus=(),
        id=machine_id(),
    )
    return replace(host, **_nvidia())


def find_gpu(gpus: Sequence[Gpu], name: str) -> Gpu | None:
    """The one GPU that has this index, or whose UUID begins like this."""
    if name.isascii() and name.isdigit():
        return gpus[int(name)] if int(name) < len(gpus) else None
    found = [gpu for gpu in gpus if name and gpu.uuid.lower().startswith(name.lower())]
    return found[0] if len(found) == 1 else None


def visible(gpus: Sequence[Gpu], told: str | None) -> tuple[Gpu, ...]:
    """Those of `gpus` that CUDA_VISIBLE_DEVICES (`told`) leaves, in its order; a batch system sets it for its jobs.

    As for CUDA itself, the first entry that names no GPU ends the list.
    """
    if told is None:
        return tuple(gpus)
    chosen: list[Gpu] = []
    for entry in told.split(","):
        gpu = find_gpu(gpus, entry.strip())
        if gpu is None or gpu in chosen:
            break
        chosen.append(gpu)
    return tuple(chosen)


def machine_id(path: Path = Path("/etc/machine-id")) -> str | None:
    """What machine-id(5) asks for: the file's own content is confidential, so a hash keyed with it is told."""
    try:
        secret = path.read_bytes().strip()
    except OSError:
        return None
    return hmac.new(secret, b"rosetta", hashlib.sha256).hexdigest()[:32] if secret else None


def _affinity() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1].strip() if match else platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.version()}"


def _nvidia() -> dict[str, Any]:
    """What NVML says of driver and GPUs, as fields of Host; nothing without a driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        absent = isinstance(error, pynvml.NVMLError_LibraryNotFound | pynvml.NVMLError_DriverNotLoaded)
        return {} if absent else {"driver_problem": str(error)}
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        found = tuple(map(_gpu, range(len(handles)), handles))
        return {
            "driver": _text(pynvml.nvmlSystemGetDriverVersion()),
            "gpus": visible(found, os.environ.get("CUDA_VISIBLE_DEVICES")),
            "cuda": _told(lambda: _cuda(pynvml.nvmlSystemGetCudaDriverVersion_v2())),
        }
    except pynvml.NVMLError as error:  # a driver that is loaded but broken has no GPU to offer
        return {"driver_problem": str(error)}
    finally:
        pynvml.nvmlShutdown()


def _gpu(index: int, handle: Any) -> Gpu:
    import pynvml

    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    return Gpu(
        index=index,
        name=_text(pynvml.nvmlDeviceGetName(handle)),
        uuid=_text(pynvml.nvmlDeviceGetUUID(handle)),
        memory=_told(lambda: int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)),
        capability=f"{major}.{minor}",
        power_limit=_told(lambda: pynvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000),  # told in mW
        ecc=_told(lambda: bool(pynvml.nvmlDeviceGetEccMode(handle)[0])),  # [now, after the next restart]
        persistence=_told(lambda: bool(pynvml.nvmlDeviceGetPersistenceMode(handle))),
        mig=_told(lambda: bool(pynvml.nvmlDeviceGetMigMode(handle)[0])),  # [now, after the next reset]
    )


NvmlValue = TypeVar("NvmlValue")


def _told(ask: Callable[[], NvmlValue]) -> NvmlValue | None:
    """NVML's answer, or None: what a GPU does not have, or a driver does not know, raises an error of its own."""
    import pynvml

    try:
        return ask()
    except pynvml.NVMLError:
        return None


def _cuda(number: int) -> str:
    """CUDA's version as people write it: "12.4" for 12040."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _text(value: str | bytes) -> str:
    """NVML's bindings answer in bytes or text, depending on their version."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value
