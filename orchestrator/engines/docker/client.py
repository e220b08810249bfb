"""The Docker daemon that jobs run at: what it is, and which images and containers it has.

Everything but building goes through here (builder.py builds). The daemon is the one that the docker command uses:
that of DOCKER_HOST, else of DOCKER_CONTEXT, else of the context that `docker context use` chose.
"""

from __future__ import annotations

import contextlib
import getpass
import grp
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker
import docker.errors
import requests
from docker.constants import MINIMUM_DOCKER_API_VERSION
from docker.context import ContextAPI
from docker.utils import kwargs_from_env

from orchestrator.errors import HostError

QUERY_SECONDS = 60
_REMOVE_SECONDS = 600  # an image of 20 GB on a slow disk takes minutes
_NO_DOCKER = "install Docker, https://docs.docker.com/engine/install/, or use --engine process"
_NO_DAEMON = "start the Docker daemon and check that this user may use it, or use --engine process"
_HANGS = "restart it (`sudo systemctl restart docker`), or use --engine process"
_START_PODMAN = (
    "to use Podman, start its socket (`systemctl --user start podman.socket`) and name that socket in DOCKER_HOST; "
    "or use --engine process"
)
_NO_CONTEXT = "choose another one with `docker context use`, or name the daemon's socket in DOCKER_HOST"
_LOOPBACK = {"", "localhost", "127.0.0.1", "::1"}  # "": no address at all
NO_MOUNTS = "this machine's files cannot be mounted"
USE_LOCAL = "use a daemon of this machine (unset DOCKER_HOST, `docker context use default`), or --engine process"


@dataclass(frozen=True, kw_only=True)
class Server:
    """A Docker daemon, as it describes itself."""

    product: str  # "Docker", or "Podman" behind Docker's interface
    version: str
    api: str
    endpoint: str  # where it listens: "unix:///var/run/docker.sock"
    root: str  # the folder where it keeps images
    runtimes: tuple[str, ...]
    cdi_folders: tuple[str, ...]  # folders with CDI's device descriptions; empty where CDI is off
    cdi_devices: tuple[str, ...] | None  # "nvidia.com/gpu=0"; None before Docker 28.3, which does not list them

    @property
    def local(self) -> bool:
        """Whether it runs on this machine."""
        return self.endpoint.startswith("unix://")

    def free_bytes(self) -> int | None:
        """Free space where it keeps images, in bytes; None where this machine cannot see that folder."""
        if not self.local:
            return None
        try:
            return shutil.disk_usage(self.root).free
        except OSError:  # a daemon in a virtual machine: the path exists there, not here
            return None


@dataclass(frozen=True, kw_only=True)
class Built:
    """An image that the daemon has."""

    tag: str
    id: str  # "sha256:…", the digest of its configuration
    size: int  # bytes, unpacked
    created: str  # ISO 8601
    labels: Mapping[str, str]


def endpoint() -> str:
    """The address of the daemon that the docker command uses. Raises HostError when its context cannot be read."""
    if host := os.environ.get("DOCKER_HOST"):
        return host
    try:
        address = ContextAPI.kwargs_from_context().get("base_url")
    except Exception as error:  # docker-py raises plain Exception for a context that it cannot read
        raise HostError(f"Docker's current context cannot be read: {reason(error)}", hint=_NO_CONTEXT) from error
    if address is None:
        raise HostError("Docker's current context does not exist", hint=_NO_CONTEXT)
    return address


def connect(*, seconds: int = QUERY_SECONDS) -> docker.DockerClient:
    """A client of the daemon, once that has answered. No answer may take longer than `seconds`.

    Raises HostError with the remedy when no daemon answers.
    """
    with failures_explained(seconds):
        return _client(seconds)


def server(*, seconds: int = QUERY_SECONDS) -> Server:
    """What the daemon says about itself. No answer may take longer than `seconds`. Raises HostError."""
    with _connected(seconds) as client:
        version, info = client.version(), client.info()
        devices = info.get("DiscoveredDevices")
        return Server(
            product="Podman" if "podman" in json.dumps(version.get("Components", "")).lower() else "Docker",
            version=str(version.get("Version", "unknown")),
            api=str(version.get("ApiVersion", "unknown")),
            endpoint=endpoint(),
            root=str(info.get("DockerRootDir", "")),
            runtimes=tuple(map(str, info.get("Runtimes") or ())),
            cdi_folders=tuple(map(str, info.get("CDISpecDirs") or ())),
            cdi_devices=None if devices is None else tuple(str(each.get("ID")) for each in devices),
        )


def find_images(tags: Iterable[str]) -> dict[str, Built]:
    """Those of `tags` that the daemon has, by tag. Raises HostError when no daemon answers."""
    with _connected(QUERY_SECONDS) as client:
        found = {}
        for tag in tags:
            with contextlib.suppress(docker.errors.NotFound):
                found[tag] = _built(tag, client.images.get(tag).attrs)
        return found


def labelled_images(label: str) -> list[Built]:
    """All tagged images that carry `label`, once for each tag. Raises HostError when no daemon answers."""
    with _connected(QUERY_SECONDS) as client:
        images = client.images.list(filters={"label": label})
        return [_built(tag, image.attrs) for image in images for tag in image.tags]


def labelled_containers(label: str) -> dict[str, str]:
    """The value of `label` by name of the container, for all containers that carry it, ended ones too.

    Raises HostError when no daemon answers.
    """
    with _connected(QUERY_SECONDS) as client:
        containers = client.api.containers(all=True, filters={"label": label})
        return {each["Names"][0].lstrip("/"): each["Labels"][label] for each in containers}


def remove_container(name: str) -> None:
    """Remove a container and its volumes, also while it runs. Raises HostError."""
    with _connected(_REMOVE_SECONDS) as client, contextlib.suppress(docker.errors.NotFound):
        client.api.remove_container(name, v=True, force=True)


def remove_image(tag: str) -> None:
    """Remove a tag and, if it was the image's last one, the image. Raises HostError."""
    with _connected(_REMOVE_SECONDS) as client, contextlib.suppress(docker.errors.NotFound):
        client.images.remove(tag)


def reason(error: BaseException) -> str:
    """The first cause of an error in a few words; docker and requests wrap it in several other errors."""
    cause = list(_causes(error))[-1]
    words = str(getattr(cause, "strerror", None) or cause)
    return words.splitlines()[0][:200] if words else type(cause).__name__


@contextlib.contextmanager
def _connected(seconds: int) -> Iterator[docker.DockerClient]:
    """A client that is closed afterwards."""
    with failures_explained(seconds), contextlib.closing(_client(seconds)) as client:
        yield client


def _client(seconds: int) -> docker.DockerClient:
    """A client of the API version that the daemon has.

    docker.from_env would send requests to a tcp:// address through the proxy in http_proxy. The docker command does
    not for addresses of this machine, and both must reach the same daemon.
    """
    address = endpoint()
    if address.startswith("ssh://"):
        raise HostError(f"the Docker daemon at {address} is on another machine, where {NO_MOUNTS}", hint=USE_LOCAL)
    settings = kwargs_from_env()
    if "base_url" not in settings:
        settings |= ContextAPI.kwargs_from_context()
    with contextlib.closing(_direct(MINIMUM_DOCKER_API_VERSION, seconds, settings)) as first:
        version = first.version(api_version=False)["ApiVersion"]
    return _direct(version, seconds, settings)


def _direct(version: str, seconds: int, settings: Mapping[str, Any]) -> docker.DockerClient:
    """A client that follows no proxy."""
    made = docker.DockerClient(version=version, timeout=seconds, **settings)
    made.api.trust_env = False
    return made


@contextlib.contextmanager
def failures_explained(seconds: int) -> Iterator[None]:
    """Turn a daemon's error, silence or nonsense into a HostError with the remedy."""
    address = endpoint()
    try:
        yield
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise _failure(address, error, seconds) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # JSON of another form than Docker's
        raise _not_docker(address, error) from error


def _failure(address: str, error: Exception, seconds: int) -> HostError:
    causes = tuple(_causes(error))
    if refusal := _first(docker.errors.APIError, causes):
        return HostError(
            f"the Docker daemon at {address} answers with an error: {str(refusal.explanation or refusal)[:300]}",
            hint="`docker info` and the daemon's log may say more",
        )
    if _first((requests.Timeout, TimeoutError), causes):
        return HostError(f"the Docker daemon at {address} does not answer within {seconds} s", hint=_HANGS)
    if _first((json.JSONDecodeError, AttributeError, KeyError, TypeError), causes):
        return _not_docker(address, error)
    silence = f"no Docker daemon answers at {address}"
    if not address.startswith("unix://"):
        return _no_answer_elsewhere(silence, address, error)
    if _first(PermissionError, causes):
        return HostError(f"{silence}: permission denied", hint=_access(address))
    if shutil.which("podman"):
        return HostError(f"{silence}: {reason(error)}", hint=f"{_NO_DAEMON}; {_START_PODMAN}")
    if not shutil.which("docker"):
        return HostError(f"{silence}, and there is no docker command on PATH", hint=_NO_DOCKER)
    return HostError(f"{silence}: {reason(error)}", hint=_NO_DAEMON)


def _access(address: str) -> str:
    """How this user gets access to the daemon's socket: one command a line."""
    group = _group_of(Path(address.removeprefix("unix://")))
    with contextlib.suppress(KeyError, OSError):
        if getpass.getuser() in grp.getgrnam(group).gr_mem:
            return f"you are in the group {group} since your last login: log in again, or type newgrp {group}"
    return (
        f"sudo usermod -aG {group} $USER, then log in again, or type newgrp {group}\n"
        "or run it as root: sudo -E before the command\n"
        "or without Docker: --engine process"
    )


def _group_of(socket: Path) -> str:
    """The group that may use a socket; that of Docker's packages if it cannot be found out."""
    with contextlib.suppress(KeyError, OSError):
        name = grp.getgrgid(socket.stat().st_gid).gr_name
        return name if name != "root" else "docker"
    return "docker"


def _no_answer_elsewhere(silence: str, address: str, error: Exception) -> HostError:
    """No answer at an address that is no Unix socket."""
    if _host(address) in _LOOPBACK:
        return HostError(f"{silence}: {reason(error)}", hint=f"check {_named_by()}; or {USE_LOCAL}")
    return HostError(
        f"{silence} ({reason(error)}), on another machine, where {NO_MOUNTS}",
        hint=f"{_named_by()} names it: {USE_LOCAL}",
    )


def _host(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _named_by() -> str:
    """What chose the daemon."""
    return next((name for name in ("DOCKER_HOST", "DOCKER_CONTEXT") if os.environ.get(name)), "`docker context use`")


def _not_docker(address: str, error: Exception) -> HostError:
    return HostError(f"the server at {address} does not answer as Docker does: {reason(error)}", hint=_NO_DAEMON)


def _built(tag: str, attributes: Mapping[str, Any]) -> Built:
    return Built(
        tag=tag,
        id=attributes["Id"],
        size=attributes["Size"],
        created=attributes["Created"],
        labels=attributes["Config"].get("Labels") or {},
    )


def _first(kind: Any, errors: Iterable[BaseException]) -> Any:
    return next((error for error in errors if isinstance(error, kind)), None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it was raised from, outermost first."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
