"""The docker engine: one container per job, locked down, removed whatever happens.

Facts behind the order of calls and the odd-looking steps are at each of them; the engine itself never looks into
the bytes it moves.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import docker
import docker.errors
import docker.types
import requests
from docker.utils import version_gte

from orchestrator.engines import leftovers
from orchestrator.engines.base import (
    STOP_GRACE,
    EngineError,
    Environment,
    Exit,
    Launch,
    Output,
    StreamName,
    job_variables,
)
from orchestrator.engines.docker import cgroup, client, gpu_access, images
from orchestrator.engines.docker.client import reason
from orchestrator.engines.pump import Pump
from orchestrator.engines.watchdog import Watchdog
from orchestrator.errors import HostError
from orchestrator.host.machine import Gpu
from orchestrator.host.samples import ResourceUsage
from orchestrator.plan.catalog import Image
from orchestrator.plan.spec import EngineName

if TYPE_CHECKING:
    from docker.models.containers import Container

ROOT = "/bench"
LABEL = "rosetta"
UNPRIVILEGED = 1000  # uid and gid in the container when the orchestrator itself is root
PIDS = 4096
TMP_BYTES = 4 << 30
SHM_BYTES = 1 << 30
TMP = "/tmp"  # noqa: S108  (in the container: a tmpfs of its own)
RECONNECT_SECONDS = 60
LOST_HINT = "check the daemon (`docker info`), then go on with --resume"
CONNECT_SECONDS = 60
MAX_SIGNAL = 64  # the highest number of a signal on Linux
END_SECONDS = 1.0  # between the end of a container's streams and its state saying so
# The `local` driver keeps output readable after a lost connection and bounds what a chatty job can write to disk.
LOG_OPTIONS = {"max-size": "64m", "max-file": "2"}
_CONNECTION_LOST = (requests.exceptions.RequestException, docker.errors.APIError, OSError)


def connect() -> DockerEngine:
    """The engine, once the daemon has answered. Raises HostError with the remedy when none answers."""
    return DockerEngine(client.connect())


class DockerEngine:
    """Runs jobs as containers of a local daemon."""

    name: EngineName = "docker"

    def __init__(self, client: docker.DockerClient) -> None:
        self._client = client
        self._watchdog = Watchdog()

    def gpu_problem(self) -> str | None:
        if _gpu_access(self._client.info()).way is None:
            return "this Docker has neither the nvidia runtime nor CDI devices nor NVIDIA's hook for --gpus"
        return None

    def facts(self) -> Mapping[str, Any]:
        version = self._client.version()
        return {"docker": version["Version"], "docker_api": version["ApiVersion"]}

    def prepare(self, image: Image, variant: str, log: Callable[[str], None]) -> Environment:
        del log  # builds log their output
        tag = images.build(image, variant)
        try:
            built = self._client.images.get(tag)
        except requests.exceptions.RequestException as error:
            raise HostError(
                f"image {tag} is built, but Docker cannot show it: {reason(error)}", hint=LOST_HINT
            ) from error
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
    def run(self, environment: Environment, launch: Launch) -> Iterator[_Container]:
        user = _user()
        if os.geteuid() == 0:
            os.chown(launch.output, *user)
        name = f"rosetta-{launch.run}-{launch.job.id}-{secrets.token_hex(3)}"
        with self._watchdog.will(_removing(name)):  # known by its name even before it exists
            with _refusals_told("the container cannot be created"):
                container = self._create(environment, launch, user, name)
            try:
                with _refusals_told("the container cannot start"):
                    running = _Container(self._client.api, container)
                    container.start()
                try:
                    yield running
                finally:
                    running.let_go()
            finally:
                # Not auto_remove: with it, a container that has ended can no longer be asked how. Where the daemon
                # is gone, `orchestrator clean` finds the container by its label.
                with contextlib.suppress(docker.errors.NotFound, requests.exceptions.RequestException):
                    container.remove(force=True, v=True)

    def _create(self, environment: Environment, launch: Launch, user: tuple[int, int], name: str) -> Container:
        job = launch.job
        return self._client.containers.create(
            environment.handle,
            list(job.argv),
            name=name,
            labels={f"{LABEL}.run": launch.run, f"{LABEL}.job": job.id, leftovers.OWNER_LABEL: leftovers.owner()},
            working_dir=ROOT,
            environment=job_variables(
                launch, spec=f"{ROOT}/spec.json", inputs=f"{ROOT}/inputs", output=f"{ROOT}/output", home=TMP
            )
            | _gpu_variables(launch.gpus),
            mounts=_mounts(launch),
            user=f"{user[0]}:{user[1]}",
            init=True,  # as PID 1 a workload that kills itself would be ignored and seem to succeed
            read_only=True,
            network_mode="none",
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            pids_limit=PIDS,
            mem_limit=job.memory,
            memswap_limit=job.memory,
            cpuset_cpus=",".join(map(str, launch.cpus)),
            shm_size=SHM_BYTES,
            # Executable: frameworks that compile at run time keep their shared objects there.
            tmpfs={TMP: f"rw,exec,nosuid,nodev,mode=1777,size={TMP_BYTES}"},
            log_config=docker.types.LogConfig(type="local", config=LOG_OPTIONS),
            **_gpu_request(self._client, launch.gpus),
        )


class _Container:
    """A container and its output. Attached before it starts, so that not a byte is missed."""

    def __init__(self, api: docker.APIClient, container: Container) -> None:
        self._api = api
        self._container = container
        self._exit: Exit | None = None
        self._id = str(container.id)
        self._group: cgroup.Group | None = None
        self._group_sought = False
        self._memory_peak = 0
        self._pump = Pump(self._read(self._attach()))

    def output(self) -> Iterator[Output | None]:
        try:
            yield from self._pump.outputs()
        except docker.errors.NotFound as error:
            raise EngineError(
                "the container was removed by somebody else while the job ran", hint="run it again with --resume"
            ) from error
        except _CONNECTION_LOST as error:
            raise EngineError(
                f"the connection to the Docker daemon was lost and did not come back: {reason(error)}",
                hint=LOST_HINT,
            ) from error

    def usage(self) -> ResourceUsage | None:
        """From the kernel where the daemon runs under the same one, else from the daemon."""
        if not self._group_sought:
            self._group_sought = True
            pid = self._api.inspect_container(self._id)["State"]["Pid"]
            self._group = cgroup.of(pid, self._id)
        used = self._group.usage() if self._group else self._told_by_daemon()
        if used is None:
            return None
        self._memory_peak = max(self._memory_peak, used.memory_peak)
        return dataclasses.replace(used, memory_peak=self._memory_peak)

    def _told_by_daemon(self) -> ResourceUsage | None:
        once = version_gte(self._api.api_version, "1.41")
        stats = self._api.stats(self._id, stream=False, one_shot=once or None)
        memory = stats["memory_stats"]
        if "usage" not in memory:  # it has ended
            return None
        return ResourceUsage(
            cpu_seconds=stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9,
            memory=memory["usage"],
            memory_peak=memory.get("max_usage", memory["usage"]),  # cgroup v2 has it not: then the highest one seen
            source="docker stats",
        )

    def stop(self) -> None:
        self.let_go()
        try:
            self._container.stop(timeout=STOP_GRACE)
        except docker.errors.APIError:
            pass  # it has ended
        except requests.exceptions.RequestException as error:
            raise EngineError(
                f"the job cannot be stopped: the Docker daemon does not answer: {reason(error)}", hint=LOST_HINT
            ) from error

    def seen(self) -> None:
        return None

    def let_go(self) -> None:
        """The container is about to end: do not hold it up."""
        self._pump.relax()

    @property
    def exit(self) -> Exit:
        if self._exit is None:
            raise EngineError("the container has not ended")
        return self._exit

    def _attach(self) -> Iterator[tuple[StreamName, bytes]]:
        """What the container writes from now on."""
        return self._stream("POST", "attach", stdout=1, stderr=1, stream=1)

    def _logs(self) -> Iterator[tuple[StreamName, bytes]]:
        """What the container has written since it started, and writes until it ends."""
        return self._stream("GET", "logs", stdout=1, stderr=1, follow=1)

    def _stream(self, method: str, what: str, **parameters: int) -> Iterator[tuple[StreamName, bytes]]:
        # The SDK's own attach and logs either lose what arrives together with the response's header, or do not
        # say which stream a chunk belongs to.
        url = f"{self._api.base_url}/v{self._api.api_version}/containers/{self._container.id}/{what}"
        response = self._api.request(method, url, params=parameters, stream=True, timeout=(CONNECT_SECONDS, None))
        response.raise_for_status()
        return _frames(response)

    def _read(self, attached: Iterator[tuple[StreamName, bytes]]) -> Iterator[Output]:
        """Output until the container has ended.

        The end of an attached stream is not the end of the container: it also ends when the daemon restarts. Then the
        daemon's log is read from its beginning, without what has been seen. (Logs keep bytes as they were, but for
        lines over 16 KiB, longer than any event needs to be.)
        """
        seen: dict[StreamName, int] = {"stdout": 0, "stderr": 0}
        skip = dict(seen)
        while True:
            with contextlib.suppress(*_CONNECTION_LOST):
                for stream, data in attached:
                    passed = min(skip[stream], len(data))
                    skip[stream] -= passed
                    seen[stream] += len(data) - passed
                    if len(data) > passed:
                        yield Output(stream, data[passed:])
            self._exit = self._look(patience=END_SECONDS)
            if self._exit is not None:
                return
            skip = dict(seen)
            attached = self._logs()

    def _look(self, *, patience: float) -> Exit | None:
        """How the container ended, or None when it still runs after `patience` seconds.

        Waits for a daemon that is restarting, up to RECONNECT_SECONDS.
        """
        began = time.monotonic()
        while True:
            try:
                self._container.reload()
                state = self._container.attrs["State"]
                if not state["Running"]:
                    return _exit_of(state)
                if time.monotonic() > began + patience:
                    return None
                time.sleep(0.005)
            except docker.errors.NotFound:
                raise
            except _CONNECTION_LOST:
                if time.monotonic() > began + RECONNECT_SECONDS:
                    raise
                time.sleep(0.5)


def _frames(response: requests.Response) -> Iterator[tuple[StreamName, bytes]]:
    """The chunks of a multiplexed stream until it ends: a header of 8 bytes (stream number, length), then the bytes."""
    with contextlib.closing(response):
        while len(header := response.raw.read(8)) == 8:
            number, length = struct.unpack(">BxxxL", header)
            yield ("stderr" if number == 2 else "stdout"), response.raw.read(length)


def _exit_of(state: Mapping[str, Any]) -> Exit:
    code = int(state["ExitCode"])
    # OOMKilled is also true when only a child was killed and the container went on to succeed.
    out_of_memory = bool(state["OOMKilled"]) and code != 0
    if 128 < code <= 128 + MAX_SIGNAL:  # above, it is the job's own: exit(-1) gives 255
        return Exit(code=None, signal=code - 128, out_of_memory=out_of_memory)
    return Exit(code=code, out_of_memory=out_of_memory)


def _removing(name: str) -> list[str]:
    """A command that ends and removes a container."""
    # Twice: a request that was under way when this process died may yet create the container.
    script = 'for pause in 0 3; do sleep "$pause"; docker --host "$1" rm --force --volumes "$2"; done'
    return ["sh", "-c", script, "sh", client.endpoint(), name]


def _mounts(launch: Launch) -> list[docker.types.Mount]:
    """Everything read-only but the output folder."""
    sources = {
        f"{ROOT}/workloads": launch.workloads,
        f"{ROOT}/spec.json": launch.spec,
        **{f"{ROOT}/inputs/{name}": path for name, path in launch.inputs.items()},
    }
    mounts = [
        docker.types.Mount(target, str(source.resolve()), type="bind", read_only=True)
        for target, source in sources.items()
    ]
    return [*mounts, docker.types.Mount(f"{ROOT}/output", str(launch.output.resolve()), type="bind")]


def _user() -> tuple[int, int]:
    """The caller, so that the files in the output folder are his; never root."""
    return (os.getuid(), os.getgid()) if os.geteuid() else (UNPRIVILEGED, UNPRIVILEGED)


def _gpu_access(info: Mapping[str, Any]) -> gpu_access.Access:
    # Only a daemon on this machine is spoken to, so its folders and its PATH are these.
    return gpu_access.look(info.get("Runtimes") or (), _cdi_devices(info), info.get("CDISpecDirs") or ())


def _cdi_devices(info: Mapping[str, Any]) -> list[str] | None:
    found = info.get("DiscoveredDevices")
    return None if found is None else [str(device.get("ID")) for device in found]


def _gpu_variables(gpus: Sequence[Gpu]) -> dict[str, str]:
    """What the nvidia runtime goes by: which GPUs, and what of the driver."""
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


@contextlib.contextmanager
def _refusals_told(what: str) -> Iterator[None]:
    """Turn what the daemon refuses, or its absence, into a failure of the job."""
    try:
        yield
    except docker.errors.APIError as error:
        raise _refusal(what, error) from error
    except requests.exceptions.RequestException as error:
        raise EngineError(f"no Docker daemon answers ({reason(error)})", hint=LOST_HINT) from error


def _refusal(what: str, error: docker.errors.APIError) -> EngineError:
    """The daemon's refusal with the remedy."""
    text = str(error.explanation)
    no_gpu = "device driver" in text or "nvidia" in text.lower() or "cdi" in text.lower()
    if no_gpu:
        hint = "this Docker cannot hand out GPUs: install the NVIDIA Container Toolkit, or use --device cpu"
    elif "No such image" in text:
        hint = "somebody removed the image meanwhile: run it again, and it is built again"
    elif "no space left" in text:
        hint = "see what Docker holds with `docker system df`"
    else:
        hint = "`docker info` and the daemon's log may say more"
    return EngineError(f"{what}: {text}", hint=hint, kind="no_gpu" if no_gpu else "engine")
