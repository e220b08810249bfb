"""What this machine can run, and what it lacks: for `rosetta doctor`. It changes nothing.

Everything that is missing or broken becomes a Problem, never an error: the rest of the report is still useful.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from orchestrator.engines.docker import client, gpu_access, same_machine
from orchestrator.engines.docker.builder import find_builder
from orchestrator.engines.docker.client import Server
from orchestrator.engines.docker.gpu_access import Access
from orchestrator.engines.process import pythons
from orchestrator.errors import HostError, UsageError
from orchestrator.files import free_bytes
from orchestrator.host import machine, peak
from orchestrator.host.machine import Gpu, Host
from orchestrator.host.peak import Peak
from orchestrator.plan import compat, spec_file
from orchestrator.plan.catalog import Catalog
from orchestrator.plan.compat import Engines, GpuVerdict, Problem
from orchestrator.plan.jobs import plan
from orchestrator.plan.spec import EngineName
from orchestrator.plan.workload import Device
from orchestrator.run import first_run, preparation
from orchestrator.run.first_run import FirstRun

SCHEMA_VERSION: Final = 1
GPU = r"[0-9]{1,3}|(GPU|MIG)-[0-9a-fA-F-]{1,60}"
ASK_SECONDS = 5  # for each question to the Docker daemon or the docker command
TOOLKIT = "install the NVIDIA Container Toolkit (`nvidia-ctk runtime configure`), or use --engine process"
RUN = Path("/run")
PODMAN_SOCKET = Path("podman/podman.sock")  # in the user's runtime folder, or in RUN
PCI = Path("/sys/bus/pci/devices")
NVIDIA = "0x10de"  # vendor number
DISPLAYS = ("0x0300", "0x0302")  # PCI classes: VGA and 3D controllers


@dataclass(frozen=True, kw_only=True)
class Docker:
    """What the docker engine can use."""

    server: Server | None  # None if no daemon answers
    free: int | None  # bytes on the disk with its images; None if unknown
    builder: str | None  # what builds images
    gpu_access: Access | None  # how containers can get GPUs
    engine_problem: Problem | None  # why no job can run
    build_problem: Problem | None  # why no image can be built
    gpu_problem: Problem | None  # why no job can get a GPU


@dataclass(frozen=True, kw_only=True)
class FrameworkDiagnosis:
    """What one framework can run on."""

    framework: str
    title: str
    image: str
    engines: tuple[EngineName, ...]  # those that can run it on the CPU
    problem: Problem | None  # why no engine can
    gpu: GpuVerdict
    gpu_engines: tuple[EngineName, ...]  # those that can run it on the GPU


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """Everything that `rosetta doctor` shows."""

    host: Host
    gpu: Gpu | None  # the verdicts are for this one
    gpu_problem: Problem | None  # why a GPU cannot be used
    peak: Peak | None  # what its CPUs can do at most; None if `doctor --bench` has not measured it
    cache: str
    cache_free: int | None  # bytes
    docker: Docker
    pythons: Mapping[str, str | None]  # the versions that images need → interpreter, or None
    given: Mapping[str, str]  # the images for which --python names an interpreter
    frameworks: tuple[FrameworkDiagnosis, ...]
    first_run: FirstRun  # what `bench` without options would download and build before its jobs

    @property
    def usable(self) -> bool:
        """Whether any engine can run anything."""
        return any(row.engines for row in self.frameworks)

    @property
    def problems(self) -> list[Problem]:
        """The problems of the machine as a whole."""
        missing = [version for version, path in self.pythons.items() if path is None]
        python = Problem(reason=f"no Python {', '.join(missing)}", remedy=f"`pyenv install {' '.join(missing)}`")
        docker = self.docker
        found = [_quota_problem(self.host), self.gpu_problem]
        found += [docker.engine_problem, docker.build_problem, docker.gpu_problem]
        return [*filter(None, found), *([python] if missing else [])]

    def as_json(self) -> dict[str, Any]:
        """For other programs. Keys keep their meaning within a schema version."""
        return {
            "schema_version": SCHEMA_VERSION,
            "usable": self.usable,
            **asdict(self),
            "peak": None if self.peak is None else self.peak.model_dump(),
            "first_run": self.first_run.as_json(),
            "problems": [asdict(problem) for problem in self.problems],
        }


def examine(known: Catalog, cache: Path, gpu: str = "0", given: Mapping[str, Path] | None = None) -> Diagnosis:
    """Examine this machine. Takes seconds.

    Verdicts are for `gpu`, an index or a UUID. `given` are the interpreters that --python names, by image. Raises
    UsageError when this machine has no such GPU, or an interpreter does not run.
    """
    given = given or {}
    preparation.require_pythons(given, known)
    if not re.fullmatch(GPU, gpu):
        raise UsageError(f"--gpu {gpu[:60]}: must be the number of a GPU, or its UUID", hint="type --gpu 0")
    host = machine.inspect()
    judged = machine.find_gpu(host.gpus, gpu)
    if host.gpus and judged is None:
        raise UsageError(f"--gpu {gpu}: this machine has {len(host.gpus)}", hint="GPUs are counted from 0")
    docker = _docker(host, cache)
    found = _pythons(known, given)
    means = Engines(
        docker=docker.engine_problem,
        docker_gpu=docker.gpu_problem,
        pythons=frozenset(version for version, path in found.items() if path is not None),
        given=frozenset(given),
    )
    return Diagnosis(
        host=host,
        gpu=judged,
        gpu_problem=_gpu_problem(host),
        peak=peak.load(cache),
        cache=str(cache),
        cache_free=free_bytes(cache),
        docker=docker,
        pythons=found,
        given={image: str(path) for image, path in given.items()},
        frameworks=_rows(known, host, judged, means),
        first_run=_first_run(known, cache, judged, docker),
    )


def _first_run(known: Catalog, cache: Path, gpu: Gpu | None, docker: Docker) -> FirstRun:
    """What `bench` without options needs here."""
    device: Device = "cpu" if gpu is None else "gpu"
    chosen = spec_file.load(known.root / "configs" / preparation.DEFAULT_SPECS[device])
    jobs = plan(chosen, known, device, None if gpu is None else [gpu])
    images = first_run.image_states(known.images, device) if docker.engine_problem is None else ()
    return first_run.of_jobs(jobs, chosen.dataset, images, known.root, cache)


def _rows(known: Catalog, host: Host, gpu: Gpu | None, means: Engines) -> tuple[FrameworkDiagnosis, ...]:
    rows = []
    for framework, image in known.frameworks.values():
        engines = compat.engines(image, means)
        verdict = compat.verdict(image, host, gpu)
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


def _docker(host: Host, cache: Path) -> Docker:
    server: Server | None = None
    try:
        server = client.server(seconds=ASK_SECONDS)
        problem = _elsewhere(cache)
    except HostError as error:
        problem = _with_podman(_problem(error))
    builder = build_problem = None
    if server is not None:  # without a daemon, one problem is enough
        try:
            found = find_builder(seconds=ASK_SECONDS)
            builder = f"BuildKit, {found.docker}" + (" buildx" if found.buildx else "")
        except HostError as error:
            build_problem = _problem(error)
    access = None
    if server is not None:
        access = gpu_access.look(server.runtimes, server.cdi_devices, server.cdi_folders if server.local else ())
    no_way = access is not None and host.gpus and access.way is None
    return Docker(
        server=server,
        free=server.free_bytes() if server is not None else None,
        builder=builder,
        gpu_access=access,
        engine_problem=problem,
        build_problem=build_problem,
        gpu_problem=Problem(reason="containers cannot use the GPU", remedy=TOOLKIT) if no_way else None,
    )


def _with_podman(problem: Problem) -> Problem:
    """`problem`: no daemon answers. If Podman listens, add to the remedy how to use it."""
    folders = (Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"), RUN)
    socket = next((path for folder in folders if (path := folder / PODMAN_SOCKET).exists()), None)
    if socket is None or os.environ.get("DOCKER_HOST") == f"unix://{socket}":
        return problem
    return Problem(
        reason=f"{problem.reason}; Podman listens at {socket}",
        remedy=f"export DOCKER_HOST=unix://{socket} to use Podman; or {problem.remedy}",
    )


def _elsewhere(cache: Path) -> Problem | None:
    """Why jobs cannot run with a daemon that answers; None if they can."""
    try:
        with contextlib.closing(client.connect(seconds=ASK_SECONDS)) as made:
            same_machine.check(made.api, cache)
    except HostError as error:
        return _problem(error)
    return None


def _pythons(known: Catalog, given: Iterable[str]) -> dict[str, str | None]:
    """The interpreters for the images for which none is given, by version."""
    needed = [image for image in known.images if image.python is not None and image.name not in given]
    wanted = {image.python: image.name for image in needed if image.python is not None}
    found: dict[str, str | None] = {}
    for version in sorted(wanted, key=_ordered):
        try:
            found[version] = str(pythons.find(version, wanted[version]))
        except HostError:
            found[version] = None
    return found


def _quota_problem(host: Host) -> Problem | None:
    """What a quota of CPU time costs; None without one."""
    if host.cpu_quota is None:
        return None
    cost = "jobs are stopped in every period" if host.cpu_quota < 1 else f"jobs use {len(host.cpus_for(None))} of them"
    return Problem(
        reason=f"a control group allows {host.cpu_quota:.3g} of the {len(host.cpus)} CPUs: {cost}",
        remedy="raise or remove the quota (docker run --cpus, CPUQuota= of systemd, the limits of a pod), "
        "or compare only runs with the same quota",
    )


def _gpu_problem(host: Host) -> Problem | None:
    if host.driver_problem is not None:
        return Problem(
            reason=f"NVIDIA's driver is installed but does not work: {host.driver_problem}",
            remedy="restart this machine, as after an update of the driver; then reinstall the driver",
        )
    if not host.gpus and _nvidia_on_the_bus():
        return Problem(
            reason="this machine has an NVIDIA GPU, but no driver for it",
            remedy="install NVIDIA's driver, https://docs.nvidia.com/datacenter/tesla/driver-installation-guide/",
        )
    return None


def _nvidia_on_the_bus() -> bool:
    def read(device: Path, what: str) -> str:
        try:
            return (device / what).read_text(encoding="ascii", errors="replace").strip()
        except OSError:
            return ""

    devices = PCI.glob("*")
    return any(read(each, "vendor") == NVIDIA and read(each, "class").startswith(DISPLAYS) for each in devices)


def _problem(error: HostError) -> Problem:
    return Problem(reason=error.message, remedy=error.hint)


def _ordered(version: str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"[0-9]{1,9}", version))
