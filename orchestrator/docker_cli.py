"""The docker command line: finding a client that can build, asking what exists, running a build."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from orchestrator.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_BUILDX_SINCE = 23  # from this version on, a client needs the buildx plugin to use BuildKit
_NO_DOCKER = "install Docker, https://docs.docker.com/engine/install/, or use --engine process"
_NO_DAEMON = "start the Docker daemon and check that this user may use it, or use --engine process"
_QUERY_SECONDS = 60
_STOP_SECONDS = 10


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
class Built:
    """An image that exists on the Docker host."""

    tag: str
    id: str  # "sha256:…", the digest of its configuration
    size: int  # bytes, unpacked
    created: str  # ISO 8601
    labels: Mapping[str, str]


def find_builder(path: str | None = None) -> Builder:
    """The first docker client on `path` (default: PATH) that can use BuildKit. Raises HostError if none can.

    A client with the buildx plugin is preferred; clients before version 23 have BuildKit built in. A newer
    client without the plugin is passed over, as another may come after it.
    """
    folders = (os.environ.get("PATH", os.defpath) if path is None else path).split(os.pathsep)
    found = [Path(docker) for folder in folders if folder and (docker := shutil.which("docker", path=folder))]
    for client in found:
        if _answer(client, "buildx", "version") is not None:
            return Builder(docker=client, buildx=True)
    for client in found:
        version = re.search(r"version (\d+)\.", _answer(client, "--version") or "")
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
    endpoint = _answer(builder.docker, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
    root = _answer(builder.docker, "info", "--format", "{{.DockerRootDir}}")
    if not root or not (endpoint or "").startswith("unix://"):
        return None
    try:
        return shutil.disk_usage(root).free
    except OSError:  # a daemon in a virtual machine: the path means something there, not here
        return None


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
    done = _run(Path(shutil.which("docker") or "docker"), *command, name)
    if done.returncode:
        raise HostError(f"{kind} {name} cannot be removed: {done.stderr.strip()[:300]}", hint=_NO_DAEMON)


def stream(argv: Sequence[str], log: Callable[[str], None], environ: Mapping[str, str]) -> int:
    """Run a command, hand every line it prints to `log` as it comes, return its exit status.

    Whatever interrupts this call stops the command too.
    """
    # A session of its own: Ctrl-C reaches this program alone, which then stops the client in an orderly way.
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environ,
        start_new_session=True,
    ) as child:
        try:
            for line in child.stdout or ():
                log(line.decode(errors="replace").rstrip())
            return child.wait()
        finally:
            _stop(child)


def _stop(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()


def _answer(client: Path, *arguments: str) -> str | None:
    """What a docker command prints, or None if it fails."""
    try:
        done = _run(client, *arguments)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _run(client: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [client, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=_QUERY_SECONDS,
        check=False,
    )
