"""The ways in which a Docker daemon gives GPUs to a container.

There are three ways. A daemon may support any of them, or none:

    runtime   an OCI runtime called nvidia, which reads NVIDIA_VISIBLE_DEVICES (`nvidia-ctk runtime configure`)
    cdi       devices of the Container Device Interface, from Docker 25 on (`nvidia-ctk cdi generate`)
    hook      Docker's own --gpus, which needs nvidia-container-runtime-hook on the daemon's PATH

The first one that the daemon supports is used.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator.host.machine import Gpu

Way = Literal["runtime", "cdi", "hook"]
KIND = "nvidia.com/gpu"  # the kind of NVIDIA's CDI devices
HOOK = "nvidia-container-runtime-hook"
MAX_CDI_BYTES = 1 << 20  # of a CDI file; with 16 GPUs it has about 100 KiB


@dataclass(frozen=True, kw_only=True)
class Access:
    """The ways that a daemon supports."""

    runtime: bool
    cdi: bool
    hook: bool

    @property
    def way(self) -> Way | None:
        """The way to use, or None."""
        return "runtime" if self.runtime else "cdi" if self.cdi else "hook" if self.hook else None


def look(runtimes: Collection[str], cdi_devices: Collection[str] | None, cdi_folders: Iterable[str]) -> Access:
    """The ways that a daemon of this machine supports, from its runtimes and CDI devices.

    Before Docker 28 a daemon does not list its devices (None). It names only the folders of their descriptions, which
    are read here.
    """
    if cdi_devices is None:
        files = [path for folder in cdi_folders for path in Path(folder).glob("*.*")]
        cdi = any(_describes_gpus(path) for path in files if path.suffix in {".json", ".yaml", ".yml"})
    else:
        cdi = any(device.startswith(f"{KIND}=") for device in cdi_devices)
    return Access(runtime="nvidia" in runtimes, cdi=cdi, hook=shutil.which(HOOK) is not None)


def cdi_names(cdi_devices: Collection[str] | None, gpus: Iterable[Gpu]) -> list[str]:
    """The CDI devices for `gpus`: by UUID if the daemon lists it under that name, else by NVML's index."""
    known = cdi_devices or ()
    return [f"{KIND}={gpu.uuid if f'{KIND}={gpu.uuid}' in known else gpu.index}" for gpu in gpus]


def _describes_gpus(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(MAX_CDI_BYTES)
    except OSError:
        return False
    return re.search(rf"""["']?kind["']?\s*:\s*["']?{re.escape(KIND)}\b""", text) is not None
