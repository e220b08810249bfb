"""Whether what an image carries can run on a GPU: known from its labels before anything is built or pulled. Pure.

Machine code for compute capability X.y runs on X.z with z >= y, the same major version. PTX for X.y is compiled by the
driver for any later GPU; that compiler must not be older than the toolkit that made the PTX, so what CUDA calls
minor version compatibility does not hold for it. The driver's versions are in cuda.py, with their sources.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from orchestrator.host import cuda
from orchestrator.host.machine import Gpu, Host
from orchestrator.plan.catalog import Cuda, Image
from orchestrator.plan.jobs import Job
from orchestrator.plan.spec import EngineName

GpuSupport = Literal[
    "native",  # machine code for this GPU
    "jit",  # the driver has to compile PTX for it first
    "cpu_only",  # no build for GPUs, or no GPU
    "impossible",  # a build for other GPUs, or for another driver
]
ON_CPU = "use --device cpu"
TF32_FROM = (8, 0)  # compute capability, https://docs.nvidia.com/cuda/ampere-tuning-guide/


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is in the way, and what to do now."""

    reason: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class GpuVerdict:
    """How an image runs on a machine's GPU."""

    kind: GpuSupport
    reason: str
    remedy: str = ""  # empty only where there is nothing to remedy

    @property
    def runs(self) -> bool:
        """Whether it computes on the GPU."""
        return self.kind in ("native", "jit")


@dataclass(frozen=True, kw_only=True)
class Engines:
    """What this machine's engines can do."""

    docker: Problem | None  # why the docker engine cannot run a job
    docker_gpu: Problem | None  # why it cannot give one a GPU
    pythons: frozenset[str]  # the versions ("3.11") the process engine has
    given: frozenset[str] = frozenset()  # the images for which --python names an interpreter


def verdict(image: Image, machine: Host, gpu: Gpu | None = None) -> GpuVerdict:
    """Whether `image` can compute on a GPU of the machine, by default the first."""
    build = image.cuda
    if build is None:
        return GpuVerdict(kind="cpu_only", reason="no build for GPUs", remedy=ON_CPU)
    if not machine.gpus or machine.driver is None:
        return GpuVerdict(kind="cpu_only", reason="no NVIDIA GPU, or no driver for it", remedy=ON_CPU)
    return _on(build, gpu or machine.gpus[0], machine.driver)


def engines(image: Image, means: Engines, *, gpu: bool = False) -> tuple[EngineName, ...]:
    """The engines that can run `image`; with `gpu`, those that can give it a GPU."""
    docker = means.docker is None and not (gpu and means.docker_gpu)
    process = image.python is not None and (image.python in means.pythons or image.name in means.given)
    return (*(("docker",) if docker else ()), *(("process",) if process else ()))


def obstacle(image: Image, means: Engines) -> Problem:
    """Why no engine can run `image`, or give it a GPU: to be asked where `engines` has none."""
    docker = "no Docker" if means.docker else "containers get no GPU"
    cure = "get Docker going" if means.docker else "install the NVIDIA Container Toolkit"
    if image.python is None:
        return Problem(reason=f"{docker}, and it runs nowhere else", remedy=cure)
    return Problem(reason=f"{docker}, no Python {image.python}", remedy=f"{cure}, or `pyenv install {image.python}`")


def judged(job: Job, image: Image | None, machine: Host, gpu: Gpu) -> GpuVerdict:
    """Whether a job's image can run on its GPU, and that GPU has the precision it asks for.

    Without an image, only what holds for any environment: the user gave one of their own.
    """
    given = GpuVerdict(kind="native", reason="the user gave the environment")
    found = verdict(image, machine, gpu) if image else _divided(gpu) or given
    if found.runs and job.precision == "tf32" and cuda.version(gpu.capability) < TF32_FROM:
        return GpuVerdict(
            kind="impossible",
            reason=f"TF32 begins at compute capability {cuda.written(TF32_FROM)}, this GPU has {gpu.capability}",
            remedy="use --set precision=fp32",
        )
    return found


def _divided(gpu: Gpu) -> GpuVerdict | None:
    """Why no job runs on a GPU that is divided; None if it is whole."""
    if not gpu.mig:
        return None
    return GpuVerdict(
        kind="impossible",
        reason="MIG is on: this GPU is divided, and a job gets whole GPUs only",
        remedy=f"turn MIG off (`nvidia-smi -i {gpu.index} -mig 0`)",
    )


def _on(build: Cuda, gpu: Gpu, driver: str) -> GpuVerdict:
    divided = _divided(gpu)
    if divided:
        return divided
    capability = cuda.version(gpu.capability)
    native = any(code[0] == capability[0] and code[1] <= capability[1] for code in build.capabilities)
    if not native and (build.ptx is None or build.ptx > capability):
        return GpuVerdict(
            kind="impossible",
            reason=f"CUDA {cuda.written(build.version)} build: no code for {gpu.capability} GPUs",
            remedy=ON_CPU,
        )
    retired = cuda.generation(capability)
    if retired is not None and cuda.branch(driver) > retired.branch:
        return GpuVerdict(
            kind="impossible",
            reason=f"driver {driver} no longer supports {retired.name} GPUs",
            remedy=f"install driver {retired.branch}, the last for this GPU",
        )
    needed = _needed(build, native=native)
    if cuda.older(driver, needed):
        what = f"CUDA {cuda.written(build.version)}" + ("" if native else "'s PTX")
        return GpuVerdict(
            kind="impossible",
            reason=f"{what} needs driver {needed}, this is {driver}",
            remedy=_driver_remedy(needed, retired),
        )
    if native:
        return GpuVerdict(kind="native", reason=f"CUDA {cuda.written(build.version)}")
    return GpuVerdict(
        kind="jit",
        reason=f"CUDA {cuda.written(build.version)} build: only PTX for {gpu.capability} GPUs",
        remedy="be patient: the driver compiles it for minutes as a job starts",
    )


def _needed(build: Cuda, *, native: bool) -> str:
    """The oldest driver that runs a build's machine code, or compiles its PTX."""
    families: Mapping[int, str] = cuda.FAMILY_DRIVERS if native else {}
    return families.get(build.version[0]) or cuda.TOOLKIT_DRIVERS[build.version]


def _driver_remedy(needed: str, retired: cuda.Generation | None) -> str:
    if retired is None:
        return f"install driver {needed} or newer"
    if cuda.branch(needed) > retired.branch:
        return f"{ON_CPU}: driver {retired.branch} is the last for this GPU"
    return f"install driver {needed} or newer, up to {retired.branch}, the last for this GPU"
