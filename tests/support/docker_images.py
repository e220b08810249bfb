"""Images that tests need: of a folder with a Dockerfile, and those of frameworks."""

from __future__ import annotations

import os
from pathlib import Path

from orchestrator.engines.docker import images
from orchestrator.engines.docker.builder import find_builder, run_build
from tests.support.cells import KNOWN


def build_folder(folder: Path, tag: str, **arguments: str) -> None:
    """Build the Dockerfile in `folder`."""
    given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
    done = run_build(find_builder(), [*given, f"--tag={tag}", str(folder)], os.environ, lambda **step: None)
    assert done.status == 0, "\n".join(done.lines)


def for_cpus(framework: str) -> str:
    """The tag of a framework's image. It is built where it is missing, and kept: other tests need it too."""
    return images.build(KNOWN.frameworks[framework][1], "cpu")
