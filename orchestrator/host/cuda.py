"""Which driver runs which CUDA, and which GPUs newer drivers no longer support: NVIDIA's tables, and version functions.

Sources, as of CUDA 13.2:
[1] CUDA Toolkit Release Notes, "CUDA Toolkit and Corresponding Driver Versions", Linux x86_64,
    https://docs.nvidia.com/cuda/cuda-toolkit-release-notes/index.html
[2] CUDA Compatibility, "Minor Version Compatibility",
    https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html
[3] Unix graphics feature deprecation schedule,
    https://forums.developer.nvidia.com/t/unix-graphics-feature-deprecation-schedule/60588
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

Version = tuple[int, int]  # of CUDA, or a compute capability: (8, 6)

# CUDA → the driver that it was released with [1]. This is the oldest driver that compiles its PTX, and before CUDA 11
# the oldest one that runs it at all [2].
TOOLKIT_DRIVERS: Mapping[Version, str] = {
    (10, 0): "410.48",
    (10, 1): "418.39",
    (10, 2): "440.33",
    (11, 0): "450.51.05",
    (11, 1): "455.23",
    (11, 2): "460.27.03",
    (11, 3): "465.19.01",
    (11, 4): "470.42.01",
    (11, 5): "495.29.05",
    (11, 6): "510.39.01",
    (11, 7): "515.43.04",
    (11, 8): "520.61.05",
    (12, 0): "525.60.13",
    (12, 1): "530.30.02",
    (12, 2): "535.54.03",
    (12, 3): "545.23.06",
    (12, 4): "550.54.14",
    (12, 5): "555.42.02",
    (12, 6): "560.28.03",
    (12, 8): "570.26",
    (12, 9): "575.51.03",
    (13, 0): "580.65.06",
    (13, 1): "590.44.01",
    (13, 2): "595.45.04",
}
# CUDA's major version → the oldest driver that runs the machine code of all its minor versions [1], [2].
FAMILY_DRIVERS: Mapping[int, str] = {11: "450.80.02", 12: "525.60.13", 13: "580.65.06"}


@dataclass(frozen=True, kw_only=True)
class Generation:
    """A generation of GPUs that newer drivers no longer support."""

    name: str
    first: Version  # compute capability
    last: Version
    branch: int  # the last driver branch that supports them


RETIRED = (  # [3]
    Generation(name="Kepler", first=(3, 0), last=(3, 7), branch=470),
    Generation(name="Maxwell, Pascal or Volta", first=(5, 0), last=(7, 2), branch=580),
)


def version(text: str) -> Version:
    """A version of the form "8.6". Raises ValueError."""
    match = re.fullmatch(r"(\d{1,3})\.(\d{1,3})", text)
    if match is None:
        raise ValueError(f"{text!r} is not of the form 8.6")
    return int(match[1]), int(match[2])


def written(value: Version) -> str:
    """A version as text: "8.6"."""
    return f"{value[0]}.{value[1]}"


def older(driver: str, than: str) -> bool:
    """Whether one driver version, such as "535.104.05", is older than another."""
    return _parts(driver) < _parts(than)


def branch(driver: str) -> int:
    """The branch of a driver version: 535 for "535.104.05"; 0 for text without a number."""
    return (*_parts(driver), 0)[0]


def generation(capability: Version) -> Generation | None:
    """The retired generation of a GPU; None if current drivers support it."""
    return next((each for each in RETIRED if each.first <= capability <= each.last), None)


def _parts(driver: str) -> tuple[int, ...]:
    return tuple(int(digits[:9]) for digits in re.findall(r"[0-9]+", driver))
