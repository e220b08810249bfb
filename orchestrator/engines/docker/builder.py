"""Image builds, through the docker command line: docker-py cannot drive BuildKit.

Without BuildKit there are no mounts and no secrets in a build, https://github.com/docker/docker-py/issues/2230.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.engines.streaming import Finished, run_logged
from orchestrator.errors import HostError

_log = logging.getLogger(__name__)

_LOST = "layer does not exist"  # Docker 20.10 prints this when its build cache names a layer of a removed image
_BUILDX_SINCE = 23  # from this version on, a client needs the buildx plugin to use BuildKit
_QUERY_SECONDS = 60
# `#6 [2/7] RUN …`; with several stages `#6 [stage-1 2/7] RUN …`. Docker 20.10 pads: `[ 2/12]`.
_STEP = re.compile(r"#\d{1,6} \[(?:[^\]\s]+ +)? *(\d{1,4})/(\d{1,4})\] ")


@dataclass(frozen=True, kw_only=True)
class Builder:
    """A docker command that can drive BuildKit."""

    docker: Path
    buildx: bool

    @property
    def command(self) -> tuple[str, ...]:
        """The argv that an image build starts with."""
        # Some buildx drivers keep the image in the build cache unless --load is given.
        return (str(self.docker), *(("buildx", "build", "--load") if self.buildx else ("build",)))


def find_builder(path: str | None = None, *, seconds: float = _QUERY_SECONDS) -> Builder:
    """The first docker command on `path` (default: PATH) that can use BuildKit.

    A command with the buildx plugin is preferred; before version 23, BuildKit is built in. A newer command without the
    plugin is skipped, because another may come after it. No command may take longer than `seconds`.

    Raises HostError with the remedy when there is none.
    """
    folders = (os.environ.get("PATH", os.defpath) if path is None else path).split(os.pathsep)
    found = [Path(command) for folder in folders if folder and (command := shutil.which("docker", path=folder))]
    for docker in found:
        if _output(docker, "buildx", "version", seconds=seconds) is not None:
            return Builder(docker=docker, buildx=True)
    for docker in found:
        version = re.search(r"version (\d+)\.", _output(docker, "--version", seconds=seconds) or "")
        if version and int(version[1]) < _BUILDX_SINCE:
            return Builder(docker=docker, buildx=False)
    if not found:
        raise HostError(
            "images cannot be built: there is no docker command on PATH",
            hint="install Docker, https://docs.docker.com/engine/install/, or use --engine process",
        )
    raise HostError(
        f"{found[0]} cannot build images: its buildx plugin is missing",
        hint="install docker-buildx-plugin, https://docs.docker.com/go/buildx/, or use --engine process",
    )


def run_build(
    builder: Builder, options: Sequence[str], environ: Mapping[str, str], at_step: Callable[..., object]
) -> Finished:
    """Build an image, logging all output. `at_step` is called when a step begins: `at_step(done=3, total=7)`.

    When Docker's build cache names a layer that no longer exists, the image is built again without the cache.
    """
    variables = {**environ, "DOCKER_BUILDKIT": "1"}

    def hear(line: str) -> None:
        if step := step_of(line):
            at_step(done=step[0], total=step[1])

    done = run_logged([*builder.command, *options], variables, hear)
    if done.status and any(_LOST in line for line in done.lines):
        _log.info("Docker's build cache has lost a layer: building again without the cache")
        done = run_logged([*builder.command, "--no-cache", *options], variables, hear)
    return done


def step_of(line: str) -> tuple[int, int] | None:
    """Which step of a Dockerfile begins with this line of BuildKit's plain output, and of how many; else None."""
    step = _STEP.match(line)
    return (int(step[1]), int(step[2])) if step else None


def _output(docker: Path, *arguments: str, seconds: float) -> str | None:
    """What a docker command prints, or None if it fails."""
    try:
        done = subprocess.run(
            [docker, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
