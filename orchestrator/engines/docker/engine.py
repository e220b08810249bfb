"""The docker engine: one container per job, locked down, removed whatever happens.

Comments give the reasons for the order of calls and for steps that look odd.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
import docker.errors
import docker.types
import requests

from orchestrator.engines import leftovers
from orchestrator.engines.base import Environment, Launch, job_variables
from orchestrator.engines.docker import client, gpu_access, images, readable, same_machine
from orchestrator.engines.docker.client import reason
from orchestrator.engines.docker.container import RunningContainer
from orchestrator.engines.docker.refusals import LOST_HINT, refusals
from orchestrator.engines.watchdog import Watchdog
from orchestrator.errors import BuildError, HostError
from orchestrator.host import machine
from orchestrator.host.machine import Gpu
from orchestrator.plan.catalog import Image

if TYPE_CHECKING:
    from docker.models.containers import Container

ROOT = "/bench"
LABEL = "rosetta"
UNPRIVILEGED = 1000  # uid and gid in the container when the orchestrator itself is root
PIDS = 4096
MEMORY_SHARE = 0.95  # of the machine's memory, for a job without a limit of its own: the rest is left to the system
TMP_BYTES = 4 << 30
SHM_BYTES = 1 << 30
TMP = "/tmp"  # noqa: S108  (in the container: a tmpfs of its own)
# The `local` driver keeps output readable after a lost connection and bounds what a chatty job can write to disk.
LOG_OPTIONS = {"max-size": "64m", "max-file": "2"}


def connect(cache: Path | None = None) -> DockerEngine:
    """The engine, once the daemon has answered. Raises HostError with the remedy when none answers.

    Also raises it when the daemon does not see the files in `cache`, from where jobs get their inputs.
    """
    made = client.connect()
    if cache is not None:
        same_machine.check(made.api, cache)
    return DockerEngine(made)


class DockerEngine:
    """Runs jobs as containers of a local daemon; meets base.LocalEngine."""

    name = "docker"

    def __init__(self, client: docker.DockerClient) -> None:
        self._client = client
        self._watchdog = Watchdog()

    @cached_property
    def _most_memory(self) -> int:
        """The limit of a job without one, in bytes. The daemon may have less memory than this machine: in a VM."""
        here = machine.inspect().memory
        return int(MEMORY_SHARE * min(self._client.info().get("MemTotal") or here, here))

    def _memory(self, launch: Launch) -> int:
        """How many bytes a job may use."""
        if launch.memory is None:
            return self._most_memory
        return launch.memory if launch.job.memory is not None else min(launch.memory, self._most_memory)

    def gpu_problem(self) -> str | None:
        if _gpu_access(self._client.info()).way is None:
            return "this Docker has neither the nvidia runtime nor CDI devices nor NVIDIA's hook for --gpus"
        return None

    def facts(self) -> Mapping[str, Any]:
        version = self._client.version()
        return {"docker": version["Version"], "docker_api": version["ApiVersion"]}

    def prepare(self, image: Image, variant: str) -> Environment:
        tag = images.build(image, variant)
        try:
            built = self._client.images.get(tag)
        except requests.exceptions.RequestException as error:
            raise HostError(
                f"image {tag} is built, but Docker cannot show it: {reason(error)}", hint=LOST_HINT
            ) from error
        if volumes := sorted((built.attrs.get("Config") or {}).get("Volumes") or ()):
            raise BuildError(
                f"image {image.name} declares the volume {volumes[0]}: a job could fill the disk through it",
                hint="take VOLUME out of its Dockerfile, and out of the base image; jobs write into /tmp",
            )
        facts = {
            "image": image.name,
            "variant": variant,
            "tag": tag,
            "id": built.id,
            "digests": built.attrs.get("RepoDigests") or [],
            "base": images.base_reference(image),
            "recipe_sha256": images.recipe_sha256(image, variant),
            "lock_sha256": images.lock_sha256(image, variant),
            "labels": {key: value for key, value in built.labels.items() if key.startswith("rosetta.")},
        }
        return Environment(handle=str(built.id), facts=facts)

    @contextlib.contextmanager
    def run(self, environment: Environment, launch: Launch) -> Iterator[RunningContainer]:
        if not os.geteuid():  # else the container's user is this one
            readable.check(_sources(launch).values(), user=UNPRIVILEGED, group=UNPRIVILEGED)
        name = f"rosetta-{launch.run}-{launch.job.id}-{secrets.token_hex(3)}"
        with self._watchdog.cleaning_up(_removing(name)):  # known by its name even before it exists
            with refusals("the container cannot be created"):
                container = self._create(environment, launch, name)
            try:
                with refusals("the container cannot start"):
                    running = RunningContainer(self._client.api, container)
                    container.start()
                try:
                    yield running
                finally:
                    running.let_go()
            finally:
                # Not auto_remove: with it, a container that has ended can no longer be asked how. Where the daemon
                # is gone, `rosetta clean` finds the container by its label.
                with contextlib.suppress(docker.errors.NotFound, requests.exceptions.RequestException):
                    container.remove(force=True, v=True)

    def _create(self, environment: Environment, launch: Launch, name: str) -> Container:
        job = launch.job
        memory = self._memory(launch)
        return self._client.containers.create(
            environment.handle,
            list(job.argv),
            name=name,
            labels={f"{LABEL}.run": launch.run, f"{LABEL}.job": job.id, leftovers.OWNER_LABEL: leftovers.owner()},
            working_dir=ROOT,
            environment=job_variables(launch, spec=f"{ROOT}/spec.json", inputs=f"{ROOT}/inputs", home=TMP)
            | _gpu_variables(launch.gpus),
            mounts=_mounts(launch),
            user=_user(),
            init=True,  # as PID 1 a workload that kills itself would be ignored and seem to succeed
            read_only=True,
            network_mode="none",
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            pids_limit=PIDS,
            # The daemon's containers may lie outside of the group that limits this program. With the same limits, a job
            # gets what its result says, whichever daemon runs it.
            mem_limit=memory,
            memswap_limit=memory,
            nano_cpus=None if launch.cpu_quota is None else int(launch.cpu_quota * 1e9),
            cpuset_cpus=",".join(map(str, launch.cpus)),
            shm_size=SHM_BYTES,
            # Executable: frameworks that compile at run time keep their shared objects there.
            tmpfs={TMP: f"rw,exec,nosuid,nodev,mode=1777,size={TMP_BYTES}"},
            use_config_proxy=False,  # a job has no network; the addresses may hold passwords
            log_config=docker.types.LogConfig(type="local", config=LOG_OPTIONS),
            **_gpu_request(self._client, launch.gpus),
        )


def _removing(name: str) -> list[str]:
    """A command that ends and removes a container."""
    # Twice: a request that was under way when this process died may yet create the container.
    script = 'for pause in 0 3; do sleep "$pause"; docker --host "$1" rm --force --volumes "$2"; done'
    return ["sh", "-c", script, "sh", client.endpoint(), name]


def _sources(launch: Launch) -> dict[str, Path]:
    """What a job may read, by its place in the container."""
    return {
        f"{ROOT}/workloads": launch.workloads,
        f"{ROOT}/spec.json": launch.spec,
        **{f"{ROOT}/inputs/{name}": path for name, path in launch.inputs.items()},
    }


def _mounts(launch: Launch) -> list[docker.types.Mount]:
    """A job can write into its own /tmp only, and sends its results to standard output."""
    return [
        docker.types.Mount(target, str(source.resolve()), type="bind", read_only=True)
        for target, source in _sources(launch).items()
    ]


def _user() -> str:
    """The user of this process, who can read what is mounted; never root."""
    return f"{os.getuid()}:{os.getgid()}" if os.geteuid() else f"{UNPRIVILEGED}:{UNPRIVILEGED}"


def _gpu_access(info: Mapping[str, Any]) -> gpu_access.Access:
    # The daemon is always on this machine, so its folders and its PATH are those of this machine.
    return gpu_access.look(info.get("Runtimes") or (), _cdi_devices(info), info.get("CDISpecDirs") or ())


def _cdi_devices(info: Mapping[str, Any]) -> list[str] | None:
    found = info.get("DiscoveredDevices")
    return None if found is None else [str(device.get("ID")) for device in found]


def _gpu_variables(gpus: Sequence[Gpu]) -> dict[str, str]:
    """What the nvidia runtime reads: which GPUs, and which parts of the driver."""
    if not gpus:
        return {}
    return {
        "NVIDIA_VISIBLE_DEVICES": ",".join(gpu.uuid for gpu in gpus),
        "NVIDIA_DRIVER_CAPABILITIES": "compute,utility",
    }


def _gpu_request(client: docker.DockerClient, gpus: Sequence[Gpu]) -> dict[str, Any]:
    """Arguments that put these GPUs into a container, and no other."""
    if not gpus:
        return {}
    info = client.info()
    way = _gpu_access(info).way
    if way == "runtime":
        return {"runtime": "nvidia"}
    if way == "cdi":
        names = gpu_access.cdi_names(_cdi_devices(info), gpus)
        return {"device_requests": [docker.types.DeviceRequest(driver="cdi", device_ids=names)]}
    uuids = [gpu.uuid for gpu in gpus]
    return {"device_requests": [docker.types.DeviceRequest(device_ids=uuids, capabilities=[["gpu"]])]}
