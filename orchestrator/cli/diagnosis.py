"""What this machine can run, and what it lacks: for `orchestrator doctor`. Asks, and changes nothing.

Whatever is missing or broken becomes a Problem, never an error: the rest is still worth knowing.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from orchestrator.engines.docker import docker_cli, gpu_access
from orchestrator.engines.docker.docker_cli import Server
from orchestrator.engines.docker.gpu_access import Access
from orchestrator.engines.process import pythons
from orchestrator.errors import HostError, UsageError
from orchestrator.host import machine as host
from orchestrator.host.machine import Gpu, Host
from orchestrator.plan import compat
from orchestrator.plan.catalog import Catalog
from orchestrator.plan.compat import Engines, GpuVerdict, Problem
from orchestrator.plan.spec import EngineName

SCHEMA_VERSION: Final = 1
ASK_SECONDS = 5.0  # for each question to the docker command
DEFAULT_ENDPOINT = "unix:///var/run/docker.sock"  # where Docker's Python client, and so the engine, looks
TOOLKIT = "install the NVIDIA Container Toolkit (`nvidia-ctk runtime configure`), or use --engine process"
RUN = Path("/run")
PODMAN_SOCKET = Path("podman/podman.sock")  # below the user's own runtime folder, or below RUN
PCI = Path("/sys/bus/pci/devices")
NVIDIA = "0x10de"  # vendor number
DISPLAYS = ("0x0300", "0x0302")  # PCI classes: VGA and 3D controllers


@dataclass(frozen=True, kw_only=True)
class Docker:
    """What the docker engine would work with."""

    server: Server | None  # None where none answers
    free: int | None  # bytes, where it keeps images; None where this machine cannot tell
    builder: str | None  # what builds images
    gpu_access: Access | None  # how containers can get GPUs
    engine_problem: Problem | None  # why no job can run
    build_problem: Problem | None  # why no image can be built
    gpu_problem: Problem | None  # why no job can get a GPU


@dataclass(frozen=True, kw_only=True)
class FrameworkDiagnosis:
    """One framework."""

    framework: str
    title: str
    image: str
    engines: tuple[EngineName, ...]  # that can run it on the CPU
    problem: Problem | None  # why none can
    gpu: GpuVerdict
    gpu_engines: tuple[EngineName, ...]  # that can run it on the GPU


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """All that `orchestrator doctor` shows."""

    host: Host
    gpu: Gpu | None  # the one the verdicts are about
    gpu_problem: Problem | None  # why there is no GPU to be seen
    cache: str
    cache_free: int | None  # bytes
    docker: Docker
    pythons: Mapping[str, str | None]  # the versions that images need → interpreter, or None
    frameworks: tuple[FrameworkDiagnosis, ...]

    @property
    def usable(self) -> bool:
        """Whether any engine can run anything."""
        return any(row.engines for row in self.frameworks)

    @property
    def problems(self) -> list[Problem]:
        """What is in the way of the machine as a whole."""
        missing = [version for version, path in self.pythons.items() if path is None]
        python = Problem(reason=f"no Python {', '.join(missing)}", remedy=f"`pyenv install {' '.join(missing)}`")
        told = (self.gpu_problem, self.docker.engine_problem, self.docker.build_problem, self.docker.gpu_problem)
        return [*filter(None, told), *([python] if missing else [])]

    def as_json(self) -> dict[str, Any]:
        """For a program; keys keep their meaning within a schema version."""
        return {
            "schema_version": SCHEMA_VERSION,
            "usable": self.usable,
            **asdict(self),
            "problems": [asdict(problem) for problem in self.problems],
        }


def examine(known: Catalog, cache: Path, gpu: str = "0") -> Diagnosis:
    """Look at everything; verdicts are about one GPU, told by index or UUID. Takes seconds. Raises UsageError."""
    machine = host.inspect()
    judged = host.find_gpu(machine.gpus, gpu)
    if machine.gpus and judged is None:
        raise UsageError(f"--gpu {gpu}: this machine has {len(machine.gpus)}", hint="they are counted from 0")
    docker = _docker(machine)
    found = _pythons(known)
    means = Engines(
        docker=docker.engine_problem,
        docker_gpu=docker.gpu_problem,
        pythons=frozenset(version for version, path in found.items() if path is not None),
    )
    return Diagnosis(
        host=machine,
        gpu=judged,
        gpu_problem=_gpu_problem(machine),
        cache=str(cache),
        cache_free=_free(cache),
        docker=docker,
        pythons=found,
        frameworks=_rows(known, machine, judged, means),
    )


def _rows(known: Catalog, machine: Host, gpu: Gpu | None, means: Engines) -> tuple[FrameworkDiagnosis, ...]:
    rows = []
    for framework, image in known.frameworks.values():
        engines = compat.engines(image, means)
        verdict = compat.verdict(image, machine, gpu)
        gpu_engines = compat.engines(image, means, gpu=True) if verdict.runs else ()
        if verdict.runs and not gpu_engines:
            obstacle = compat.obstacle(image, means)
            verdict = GpuVerdict(kind="impossible", reason=obstacle.reason, remedy=obstacle.remedy)
        rows.append(
            FrameworkDiagnosis(
                framework=framework.id,
                title=framework.title,
                image=image.name,
                engines=engines,
                problem=None if engines else compat.obstacle(image, means),
                gpu=verdict,
                gpu_engines=gpu_engines,
            )
        )
    return tuple(rows)


def _docker(machine: Host) -> Docker:
    server: Server | None = None
    try:
        server = docker_cli.server(seconds=ASK_SECONDS)
        problem = _elsewhere(server)
    except HostError as error:
        problem = _with_podman(_problem(error))
    builder = build_problem = None
    if server is not None:  # without, the one problem is enough
        try:
            found = docker_cli.find_builder(seconds=ASK_SECONDS)
            builder = f"BuildKit, {found.docker}" + (" buildx" if found.buildx else "")
        except HostError as error:
            build_problem = _problem(error)
    access = None
    if server is not None:
        access = gpu_access.look(server.runtimes, server.cdi_devices, server.cdi_folders if server.local else ())
    barred = access is not None and machine.gpus and access.way is None
    return Docker(
        server=server,
        free=docker_cli.free_at(server.root) if server is not None and server.local else None,
        builder=builder,
        gpu_access=access,
        engine_problem=problem,
        build_problem=build_problem,
        gpu_problem=Problem(reason="containers cannot use the GPU", remedy=TOOLKIT) if barred else None,
    )


def _with_podman(problem: Problem) -> Problem:
    """`problem`, that no daemon answers; where Podman listens instead, with the way to use that."""
    folders = (Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"), RUN)
    socket = next((path for folder in folders if (path := folder / PODMAN_SOCKET).exists()), None)
    if socket is None or os.environ.get("DOCKER_HOST") == f"unix://{socket}":
        return problem
    return Problem(
        reason=f"{problem.reason}; Podman listens at {socket}",
        remedy=f"export DOCKER_HOST=unix://{socket} to use Podman; or {problem.remedy}",
    )


def _elsewhere(server: Server) -> Problem | None:
    """Why a daemon that answers the docker command is of no use to the engine."""
    wanted = os.environ.get("DOCKER_HOST") or DEFAULT_ENDPOINT
    if server.endpoint and server.endpoint != wanted:
        return Problem(
            reason=f"the docker command uses {server.endpoint}, but jobs would be run at {wanted}",
            remedy=f"export DOCKER_HOST={server.endpoint}",
        )
    if server.endpoint and not server.local:
        return Problem(
            reason=f"{server.endpoint} is on another machine, where this one's files cannot be mounted",
            remedy="unset DOCKER_HOST and use a daemon of this machine, or use --engine process",
        )
    return None


def _pythons(known: Catalog) -> dict[str, str | None]:
    wanted = {image.python: image.name for image in known.images if image.python is not None}
    found: dict[str, str | None] = {}
    for version in sorted(wanted, key=_ordered):
        try:
            found[version] = str(pythons.find(version, wanted[version]))
        except HostError:
            found[version] = None
    return found


def _gpu_problem(machine: Host) -> Problem | None:
    if machine.driver_problem is not None:
        return Problem(
            reason=f"NVIDIA's driver is installed but does not work: {machine.driver_problem}",
            remedy="restart this machine, as after an update of the driver; then reinstall the driver",
        )
    if not machine.gpus and _nvidia_on_the_bus():
        return Problem(
            reason="this machine has an NVIDIA GPU, but no driver for it",
            remedy="install NVIDIA's driver, https://docs.nvidia.com/datacenter/tesla/driver-installation-guide/",
        )
    return None


def _nvidia_on_the_bus() -> bool:
    def told(device: Path, what: str) -> str:
        try:
            return (device / what).read_text(encoding="ascii", errors="replace").strip()
        except OSError:
            return ""

    devices = PCI.glob("*")
    return any(told(each, "vendor") == NVIDIA and told(each, "class").startswith(DISPLAYS) for each in devices)


def _free(path: Path) -> int | None:
    """Free space for a folder that may not exist yet, in bytes."""
    for place in (path, *path.parents):
        try:
            return shutil.disk_usage(place).free
        except OSError:
            continue
    return None


def _problem(error: HostError) -> Problem:
    return Problem(reason=error.message, remedy=error.hint)


def _ordered(version: str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"[0-9]{1,9}", version))
