"""The docker command line: finding a client that can build, asking what exists and who answers, running a build."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.engines.streaming import stream
from orchestrator.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_LOST = "layer does not exist"  # said by Docker 20.10 whose build cache still names what went with a removed image
_BUILDX_SINCE = 23  # from this version on, a client needs the buildx plugin to use BuildKit
_NO_DOCKER = "install Docker, https://docs.docker.com/engine/install/, or use --engine process"
_NO_DAEMON = "start the Docker daemon and check that this user may use it, or use --engine process"
_HANGS = "restart it (`sudo systemctl restart docker`), or use --engine process"
_NO_SOCKET = "is it Podman's? `systemctl --user start podman.socket`, and name that socket in DOCKER_HOST"
_NO_ACCESS = "sudo usermod -aG docker $USER, then log in again; or use --engine process"
_QUERY_SECONDS = 60
_REMOVE_SECONDS = 600  # of an image of 20 GB on a slow disk


@dataclass(frozen=True, kw_only=True)
class Builder:
    """A docker client that can drive BuildKit."""

    docker: Path
    buildx: bool

    @property
    def command(self) -> tuple[str, ...]:
        """The argv that an image build starts with."""
        # --load: with some buildx drivers the image would otherwise stay in the build cache.
        return (str(self.docker), *(("buildx", "build", "--load") if self.buildx else ("build",)))


@dataclass(frozen=True, kw_only=True)
class Server:
    """The daemon behind the docker command, in its own words."""

    product: str  # "Docker", or "Podman" behind Docker's interface
    version: str
    api: str
    endpoint: str  # where the command finds it: "unix:///var/run/docker.sock"
    root: str  # the folder of its images
    runtimes: tuple[str, ...]
    cdi_folders: tuple[str, ...]  # of CDI's device descriptions; empty where CDI is off
    cdi_devices: tuple[str, ...] | None  # "nvidia.com/gpu=0"; None where it does not tell: before Docker 28.3

    @property
    def local(self) -> bool:
        """Whether it runs on this machine."""
        return self.endpoint.startswith("unix://")


@dataclass(frozen=True, kw_only=True)
class Built:
    """An image that exists on the Docker host."""

    tag: str
    id: str  # "sha256:…", the digest of its configuration
    size: int  # bytes, unpacked
    created: str  # ISO 8601
    labels: Mapping[str, str]


def find_builder(path: str | None = None, *, seconds: float = _QUERY_SECONDS) -> Builder:
    """The first docker client on `path` (default: PATH) that can use BuildKit. Raises HostError if none can.

    A client with the buildx plugin is preferred; clients before version 23 have BuildKit built in. A newer
    client without the plugin is passed over, as another may come after it. No client gets more than `seconds`.
    """
    folders = (os.environ.get("PATH", os.defpath) if path is None else path).split(os.pathsep)
    found = [Path(docker) for folder in folders if folder and (docker := shutil.which("docker", path=folder))]
    for client in found:
        if _answer(client, "buildx", "version", seconds=seconds) is not None:
            return Builder(docker=client, buildx=True)
    for client in found:
        version = re.search(r"version (\d+)\.", _answer(client, "--version", seconds=seconds) or "")
        if version and int(version[1]) < _BUILDX_SINCE:
            return Builder(docker=client, buildx=False)
    if not found:
        raise HostError("no docker command on PATH", hint=_NO_DOCKER)
    raise HostError(
        f"{found[0]} cannot build images: its buildx plugin is missing",
        hint="install docker-buildx-plugin, https://docs.docker.com/go/buildx/, or use --engine process",
    )


def inspect(tags: Iterable[str]) -> dict[str, Built]:
    """Those of `tags` that exist, by tag. Raises HostError when no daemon answers."""
    wanted = list(tags)
    docker = shutil.which("docker")
    if docker is None:
        raise HostError("no docker command on PATH", hint=_NO_DOCKER)
    if not wanted:
        return {}
    try:
        done = _run(Path(docker), "image", "inspect", *wanted)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostError(f"docker does not answer: {error}", hint=_NO_DAEMON) from error
    # A missing image makes the command fail, but it still prints the others.
    complaints = [line for line in done.stderr.splitlines() if line and "no such image" not in line.lower()]
    if done.returncode and complaints:
        raise HostError(f"docker does not answer: {complaints[0]}", hint=_NO_DAEMON)
    return {
        name: Built(
            tag=name,
            id=entry["Id"],
            size=entry["Size"],
            created=entry["Created"],
            labels=entry["Config"].get("Labels") or {},
        )
        for entry in json.loads(done.stdout)
        for name in entry["RepoTags"]
        if name in wanted
    }


def free_bytes(builder: Builder) -> int | None:
    """Free space where the daemon keeps images, in bytes; None when the daemon runs on another machine."""
    root = _answer(builder.docker, "info", "--format", "{{.DockerRootDir}}")
    return free_at(root) if root and _endpoint(builder.docker).startswith("unix://") else None


def free_at(root: str) -> int | None:
    """Free space at a folder a local daemon names, in bytes; None where this machine has no such folder."""
    try:
        return shutil.disk_usage(root).free
    except OSError:  # a daemon in a virtual machine: the path means something there, not here
        return None


def server(*, seconds: float) -> Server:
    """The daemon that answers the docker command. No question may take longer than `seconds`. Raises HostError."""
    client = shutil.which("docker")
    if client is None:
        raise HostError("no docker command on PATH", hint=_NO_DOCKER)
    version = _document(Path(client), "version", seconds).get("Server")
    if not version:
        raise HostError("the docker command has no daemon behind it", hint=_NO_SOCKET)
    told = _document(Path(client), "info", seconds)
    endpoint = _endpoint(Path(client), seconds=seconds)
    try:
        return _server(version, told, endpoint)
    except (AttributeError, TypeError) as error:
        raise HostError(f"the daemon at {endpoint} does not answer as Docker does: {error}", hint=_NO_DAEMON) from error


def _server(version: Mapping[str, Any], told: Mapping[str, Any], endpoint: str) -> Server:
    devices = told.get("DiscoveredDevices")
    return Server(
        product="Podman" if "podman" in json.dumps(version.get("Components", "")).lower() else "Docker",
        version=str(version.get("Version", "unknown")),
        api=str(version.get("ApiVersion", "unknown")),
        endpoint=endpoint,
        root=str(told.get("DockerRootDir", "")),
        runtimes=tuple(map(str, told.get("Runtimes") or ())),
        cdi_folders=tuple(map(str, told.get("CDISpecDirs") or ())),
        cdi_devices=None if devices is None else tuple(str(each.get("ID")) for each in devices),
    )


def _document(client: Path, question: str, seconds: float) -> dict[str, Any]:
    """What the daemon answers to `docker version` or `docker info`. Raises HostError."""
    try:
        done = _run(client, question, "--format", "{{json .}}", seconds=seconds)
    except subprocess.TimeoutExpired:
        raise HostError(
            f"the Docker daemon does not answer `docker {question}` within {seconds:g} s", hint=_HANGS
        ) from None
    except OSError as error:
        raise HostError(f"{client} does not run: {error.strerror}", hint=_NO_DOCKER) from error
    if done.returncode:
        why = next((line for line in done.stderr.splitlines() if line.strip()), f"exit code {done.returncode}")
        denied = "permission denied" in done.stderr.lower()
        raise HostError(f"no Docker daemon answers: {why[:300]}", hint=_NO_ACCESS if denied else _NO_DAEMON)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise HostError(f"`docker {question}` answers no JSON", hint=_NO_DAEMON)
    return found


def _endpoint(client: Path, *, seconds: float = _QUERY_SECONDS) -> str:
    """Where the client finds its daemon, whatever says so: DOCKER_HOST or its context."""
    return _answer(client, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}", seconds=seconds) or ""


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A container or an image that carries one of this program's labels."""

    kind: Literal["container", "image"]
    name: str
    label: str  # the label's value


def labelled(kind: Literal["container", "image"], label: str) -> list[Labelled]:
    """All containers, ended ones too, or all tagged images that have `label`; none when no daemon answers."""
    client = shutil.which("docker")
    what = {
        "container": ("ps", "--all", "--format", f'{{{{.Names}}}}\t{{{{.Label "{label}"}}}}'),
        "image": ("image", "ls", "--format", "{{.Repository}}:{{.Tag}}\t"),
    }
    listed = _answer(Path(client), *what[kind], "--filter", f"label={label}") if client else None
    pairs = (line.partition("\t") for line in (listed or "").splitlines())
    return [Labelled(kind=kind, name=name, label=value) for name, _, value in pairs if "<none>" not in name]


def remove(kind: Literal["container", "image"], name: str) -> None:
    """Remove a container with its volumes, or an image's name and, with its last name, the image. Raises HostError."""
    command = ("rm", "--force", "--volumes") if kind == "container" else ("image", "rm")
    try:
        done = _run(Path(shutil.which("docker") or "docker"), *command, name, seconds=_REMOVE_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise HostError(
            f"{kind} {name} has not been removed in {_REMOVE_SECONDS:.0f} s", hint="see with `docker info` what it does"
        ) from error
    if done.returncode:
        raise HostError(f"{kind} {name} cannot be removed: {done.stderr.strip()[:300]}", hint=_NO_DAEMON)


def build(builder: Builder, options: Sequence[str], log: Callable[[str], None], environ: Mapping[str, str]) -> int:
    """Build an image; return the exit status. `log` gets the command and every line it prints.

    Where Docker's build cache names a layer that is gone, the image is built anew without the cache.
    """
    variables = {**environ, "DOCKER_BUILDKIT": "1"}
    lost = False

    def watch(line: str) -> None:
        nonlocal lost
        lost = lost or _LOST in line
        log(line)

    argv = [*builder.command, *options]
    log(f"$ {shlex.join(argv)}")
    status = stream(argv, watch, variables)
    if status and lost:
        argv = [*builder.command, "--no-cache", *options]
        log(f"Docker's build cache has lost a layer, so without it: $ {shlex.join(argv)}")
        status = stream(argv, log, variables)
    return status


def _answer(client: Path, *arguments: str, seconds: float = _QUERY_SECONDS) -> str | None:
    """What a docker command prints, or None if it fails."""
    try:
        done = _run(client, *arguments, seconds=seconds)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _run(client: Path, *arguments: str, seconds: float = _QUERY_SECONDS) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [client, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=seconds,
        check=False,
    )
