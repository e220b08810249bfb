"""Whether the Docker daemon sees this machine's files, which jobs read through mounts.

An address does not tell: tcp:// may lead to this machine, and a Unix socket to another one (`ssh -L`) or into a
virtual machine that shares some folders only. So the daemon is asked for a container that mounts a file made just now,
of an image that does not exist. It checks the mount first, and creates nothing.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
import docker.errors
import docker.types

from orchestrator.engines.docker import client
from orchestrator.errors import HostError

_NO_IMAGE = "rosetta/none:none"
UNSEEN = "bind source path does not exist"  # as the daemon says it, also when a job starts


def check(api: docker.APIClient, cache: Path) -> None:
    """Raise HostError when the daemon does not see the files of `cache`, or of the folder where that will be made."""
    address = client.endpoint()
    folder = next((place for place in (cache, *cache.parents) if place.is_dir()), cache)
    with _probe(folder) as path, client.failures_explained(client.QUERY_SECONDS):
        if path is not None and _sees(api, path) is False:
            raise HostError(
                f"the Docker daemon at {address} does not see the files in {folder}: it runs on another machine, or "
                "where that folder is not shared with it",
                hint=f"{client.USE_LOCAL}; or, if it shares other folders, name one in ROSETTA_CACHE",
            )


def _sees(api: docker.APIClient, path: Path) -> bool | None:
    """Whether the daemon sees `path`; None when its answer does not tell."""
    mount = docker.types.Mount("/probe", str(path), type="bind", read_only=True)
    try:
        made = api.create_container(
            _NO_IMAGE, ["true"], host_config=api.create_host_config(mounts=[mount]), use_config_proxy=False
        )
    except docker.errors.ImageNotFound:
        return True
    except docker.errors.APIError as error:
        return False if UNSEEN in str(error.explanation) else None
    api.remove_container(made["Id"], force=True)  # somebody has given an image that name
    return True


@contextlib.contextmanager
def _probe(folder: Path) -> Iterator[Path | None]:
    """A new file in `folder`; the folder itself where nothing can be written; None where there is none."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=".probe-", dir=folder)
    except OSError:
        yield folder if folder.is_dir() else None
        return
    os.close(descriptor)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
