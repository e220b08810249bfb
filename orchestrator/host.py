"""What this machine is: the facts a figure depends on, and those a plan needs."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One NVIDIA GPU as the driver describes it."""

    index: int  # NVML's
    name: str
    uuid: str
    memory: int  # bytes
    capability: str  # compute capability, "9.0"


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

    def facts(self) -> dict[str, Any]:
        """For a result's provenance."""
        return asdict(self)

    def title(self) -> str:
        """One line that names the machine under a table."""
        gpus = f", {len(self.gpus)} x {self.gpus[0].name}" if self.gpus else ""
        return f"{self.cpu}, {len(self.cpus)} CPUs, {self.memory / 2**30:.0f} GiB{gpus}"


def inspect() -> Host:
    """Look at this machine. Takes milliseconds; never fails for want of a GPU."""
    driver, gpus = _nvidia()
    return Host(
        cpu=_cpu_model(),
        cpus=tuple(sorted(_affinity())),
        memory=psutil.virtual_memory().total,
        system=_system(),
        kernel=platform.release(),
        machine=platform.machine(),
        driver=driver,
        gpus=visible(gpus, os.environ.get("CUDA_VISIBLE_DEVICES")),
    )


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


def _nvidia() -> tuple[str | None, tuple[Gpu, ...]]:
    """Driver version and GPUs through NVML; (None, ()) without a driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None, ()
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return _text(pynvml.nvmlSystemGetDriverVersion()), tuple(map(_gpu, range(len(handles)), handles))
    except pynvml.NVMLError:  # a driver that is loaded but broken has no GPU to offer
        return None, ()
    finally:
        pynvml.nvmlShutdown()


def _gpu(index: int, handle: Any) -> Gpu:
    import pynvml

    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    return Gpu(
        index=index,
        name=_text(pynvml.nvmlDeviceGetName(handle)),
        uuid=_text(pynvml.nvmlDeviceGetUUID(handle)),
        memory=int(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
        capability=f"{major}.{minor}",
    )


def _text(value: str | bytes) -> str:
    """NVML's bindings answer in bytes or text, depending on their version."""
    return value.decode() if isinstance(value, bytes) else value
