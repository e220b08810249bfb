"""Joining a Ray cluster, or starting one on this machine, and leaving it."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ray
import ray.exceptions

import orchestrator
from orchestrator.engines.ray.losses import RESUME_HINT, refused, words
from orchestrator.errors import HostError

HEAD_SECONDS = 15.0  # a head may be silent; Ray itself ends this process, without a word, after 60 s
LOCAL_STORE_BYTES = 256 << 20  # of shared memory for a local cluster's objects: jobs send little
SHIPPED = ("images", "workloads")


def join(address: str, root: Path) -> bool:
    """Join a cluster, or start one on this machine; whether it was started. Raises HostError.

    The project at `root` goes along to the nodes. `address`: `local` starts one; `auto` finds one (RAY_ADDRESS, or a
    node of it on this machine) and else starts one; HOST:PORT is that of a head, from one of its nodes.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    logging.getLogger("ray").setLevel(logging.ERROR)  # this program logs what the user must know
    with tempfile.TemporaryDirectory(prefix="rosetta-snapshot-") as folder:
        _snapshot(root, Path(folder))
        options: dict[str, Any] = {
            "runtime_env": {"working_dir": folder},
            "namespace": "rosetta",
            "log_to_driver": False,
            "configure_logging": False,
        }
        with _own_signals():
            started = address == "local" or not _joined(address, options)
            if started:
                _start(options)
    return started


def leave() -> None:
    """Leave the cluster; one that was started for this run ends."""
    with _own_signals():
        ray.shutdown()


def await_head(head: str) -> None:
    """Return when the head of the cluster that was joined answers. Raises HostError when it does not."""
    deadline = time.monotonic() + HEAD_SECONDS
    while True:
        try:
            _call(head)
        except OSError as error:
            if time.monotonic() >= deadline:
                raise HostError(
                    f"the cluster's head at {head} has not answered for {HEAD_SECONDS:.0f} s: {error}",
                    hint=RESUME_HINT,
                ) from error
            time.sleep(1)
        else:
            return


def _joined(address: str, options: Mapping[str, Any]) -> bool:
    """Whether a cluster was joined; False where `auto` finds none. Raises HostError."""
    named = os.environ.get("RAY_ADDRESS", address) if address == "auto" else address
    if named.startswith("ray://"):
        raise HostError(
            "ray:// means a Ray client, which cannot receive the streams in which nodes report their jobs",
            hint="run this on a machine of the cluster, with --address auto (docs/cluster.md)",
        )
    try:
        if ":" in named:
            _call(named)  # Ray would try for minutes
        ray.init(address=address, **options)
    except OSError as error:
        if named == "auto" and "Could not find any running Ray instance" in str(error):
            return False
        raise HostError(
            f"no Ray cluster answers at {named}: {words(error)}",
            hint="`ray status` on its head shows whether it is up. If so, this machine needs the same "
            "~/.ray/auth_token and RAY_AUTH_MODE=token. --address local starts a cluster of this machine",
        ) from error
    except (RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise refused(address, error) from error
    return True


def _start(options: Mapping[str, Any]) -> None:
    """A cluster of this machine, for this run. Ray guards it with a token that it keeps in ~/.ray/."""
    # The kernel, or the container's limit, ends a job that takes too much memory; Ray would end our actor instead.
    os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's own default is 15: whatever else runs would go first
    try:
        ray.init(
            address="local",
            _node_ip_address="127.0.0.1",  # with any other Ray listens on all interfaces
            include_dashboard=False,
            object_store_memory=LOCAL_STORE_BYTES,
            **options,
        )
    except (RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        raise HostError(
            f"Ray cannot start on this machine: {words(error)}",
            hint="its logs are in /tmp/ray/session_latest/logs; or use --engine docker or process",
        ) from error


def _call(head: str) -> None:
    """Return when the head of a cluster, at HOST:PORT, answers. Raises OSError when it does not."""
    host, _, port = head.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=HEAD_SECONDS).close()


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the signal handlers of this program: Ray installs its own, but cli/app.py decides how signals end a run."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _snapshot(root: Path, folder: Path) -> None:
    """What nodes need of the project at `root`, and this program. Ray names it by its content and ships it once."""
    ignore = shutil.ignore_patterns("__pycache__", "_bundled")
    shutil.copytree(Path(orchestrator.__file__).parent, folder / "orchestrator", ignore=ignore)
    for name in SHIPPED:
        shutil.copytree(root / name, folder / name, ignore=ignore)
