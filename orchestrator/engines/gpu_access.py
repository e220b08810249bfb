"""How a Docker daemon puts GPUs into a container. Pure: told from what the daemon and its machine say of themselves.

There are three ways, and a daemon may know any of them, or none:

    runtime   an OCI runtime called nvidia, which reads NVIDIA_VISIBLE_DEVICES (`nvidia-ctk runtime configure`)
    cdi       device descriptions of the Container Device Interface, from Docker 25 on (`nvidia-ctk cdi generate`)
    hook      Docker's own --gpus, which needs nvidia-container-runtime-hook on the daemon's PATH
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal

from orchestrator.host import Gpu

Way = Literal["runtime", "cdi", "hook"]
KIND = "nvidia.com/gpu"  # what NVIDIA's CDI devices are called
HOOK = "nvidia-container-runtime-hook"


def way(info: Mapping[str, Any], *, cdi_files: Collection[str], hook: bool) -> Way | None:
    """The way to use; None when there is none.

    `info` is the daemon's own description, `cdi_files` the files in its CDISpecDirs, `hook` whether HOOK is installed.
    """
    if "nvidia" in (info.get("Runtimes") or {}):
        return "runtime"
    # Docker 28 names the devices it found. Before, it only names folders, and does so whether or not they hold any.
    named = cdi_devices(info)
    if named or (info.get("CDISpecDirs") and any("nvidia" in name for name in cdi_files)):
        return "cdi"
    return "hook" if hook else None


def cdi_devices(info: Mapping[str, Any]) -> tuple[str, ...]:
    """The NVIDIA devices a daemon says it found; empty before Docker 28."""
    found = info.get("DiscoveredDevices") or ()
    return tuple(str(device["ID"]) for device in found if str(device.get("ID", "")).startswith(f"{KIND}="))


def cdi_names(info: Mapping[str, Any], gpus: Collection[Gpu]) -> list[str]:
    """The CDI devices that stand for `gpus`: by UUID where the daemon knows it so, else by NVML's index."""
    known = cdi_devices(info)
    return [f"{KIND}={gpu.uuid}" if f"{KIND}={gpu.uuid}" in known else f"{KIND}={gpu.index}" for gpu in gpus]
