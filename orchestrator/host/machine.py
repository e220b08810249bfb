"""What this machine is: CPU, memory, system, driver and GPUs. Results record it, and plans depend on it."""

from __future__ import annotations

import getpass
import hashlib
import hmac
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from orchestrator.host import nvml, quotas
from orchestrator.text import MAX_NAME, printable


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One NVIDIA GPU as the driver describes it; None where the driver gives no answer."""

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
    id: str | None = None  # differs between installations; None where the system has none
    cuda: str | None = None  # the CUDA the driver supports, "12.4"
    driver_problem: str | None = None  # why a driver that is installed offers no GPU, in NVML's words
    cpu_quota: float | None = None  # how many CPUs' time the control groups allow, where that is less than `cpus`
    memory_limit: int | None = None  # bytes that they allow, where that is less than `memory`

    @property
    def usable_memory(self) -> int:
        """Bytes that the processes of this machine may use: all, or what the control groups allow."""
        return self.memory if self.memory_limit is None else self.memory_limit

    def cpus_for(self, wanted: int | None) -> tuple[int, ...]:
        """The CPUs of a job that wants at most so many; None for as many as there are.

        No more than the quota is enough for, rounded down, but at least one. Threads on more CPUs than that use up the
        quota before its period ends, and then all of them stand still until the next one.
        """
        enough = len(self.cpus) if self.cpu_quota is None else max(1, int(self.cpu_quota))
        return self.cpus[: min(enough, len(self.cpus) if wanted is None else wanted)]

    def facts(self) -> dict[str, Any]:
        """All fields in the form that results record as JSON."""
        return {**asdict(self), "cpus": list(self.cpus), "gpus": [asdict(gpu) for gpu in self.gpus]}

    def title(self) -> str:
        """One line that describes the machine below a table."""
        gpus = f", {len(self.gpus)} x {self.gpus[0].name}" if self.gpus else ""
        limits = quotas.in_words(self.cpu_quota, self.memory_limit)
        return f"{self.cpu}, {len(self.cpus)} CPUs, {self.memory / 2**30:.0f} GiB{limits}{gpus}"


def inspect() -> Host:
    """Describe this machine. Takes milliseconds; a machine without a GPU is no error."""
    cpus, memory, limits = tuple(sorted(_affinity())), psutil.virtual_memory().total, quotas.inspect()
    host = Host(
        cpu=_cpu_model(),
        cpus=cpus,
        memory=memory,
        system=_system(),
        kernel=platform.release(),
        machine=platform.machine(),
        driver=None,
        gpus=(),
        id=machine_id(),
        cpu_quota=limits.cpus if limits.cpus is not None and limits.cpus < len(cpus) else None,
        memory_limit=limits.memory if limits.memory is not None and limits.memory < memory else None,
    )
    return replace(host, **_nvidia())


def find_gpu(gpus: Sequence[Gpu], name: str) -> Gpu | None:
    """The only GPU with this index, or with a UUID that begins with `name`; None if no or several GPUs match."""
    if name.isascii() and name.isdigit() and len(name) < 10:
        return gpus[int(name)] if int(name) < len(gpus) else None
    found = [gpu for gpu in gpus if name and gpu.uuid.lower().startswith(name.lower())]
    return found[0] if len(found) == 1 else None


def visible(gpus: Sequence[Gpu], variable: str | None) -> tuple[Gpu, ...]:
    """Those of `gpus` that CUDA_VISIBLE_DEVICES (its value is `variable`) names, in its order; all when it is None.

    Batch systems set it for their jobs. As in CUDA itself, the first entry that names no GPU ends the list.
    """
    if variable is None:
        return tuple(gpus)
    chosen: list[Gpu] = []
    for entry in variable.split(","):
        gpu = find_gpu(gpus, entry.strip())
        if gpu is None or gpu in chosen:
            break
        chosen.append(gpu)
    return tuple(chosen)


def machine_id(path: Path = Path("/etc/machine-id")) -> str | None:
    """An id of this installation; None where the system has none.

    machine-id(5) says that the file's content is confidential, so this is a hash with that content as the key.
    """
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
    """The driver and the GPUs, as fields of Host; empty without a driver."""
    try:
        with nvml.opened_driver() as driver:
            if driver is None:
                return {}
            gpus = tuple(map(_gpu, driver.cards()))
            return {
                "driver": driver.version(),
                "gpus": visible(gpus, os.environ.get("CUDA_VISIBLE_DEVICES")),
                "cuda": driver.cuda(),
            }
    except nvml.DriverError as error:  # a broken driver has no GPU to offer
        return {"driver_problem": str(error)}


def _gpu(card: nvml.Card) -> Gpu:
    return Gpu(
        index=card.index,
        name=card.name(),
        uuid=card.uuid(),
        memory=card.memory(),
        capability=card.capability(),
        power_limit=card.power_limit(),
        ecc=card.ecc(),
        persistence=card.persistence(),
        mig=card.mig(),
    )


def user_name() -> str:
    """The name of the user at the login; empty if the system has none."""
    try:
        return printable(getpass.getuser(), MAX_NAME)
    except (ImportError, KeyError, OSError):  # no passwd entry for this user id, and no variable that names one
        return ""
