"""A cluster of three nodes, in a network of its own: Ray listens on all interfaces, and nobody else is to hear."""

import ctypes
import fcntl
import os
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import checks, engine_cases

HERE = Path(__file__).resolve().parent
CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
NAMESPACE = Path("/proc/thread-self/ns/net")


@pytest.hookimpl(tryfirst=True)  # before tests are left out: a check counts only when it is whole
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Make each file of tests here a check of its own."""
    for item in items:
        if item.path.parent == HERE:
            test = item.path.relative_to(config.rootpath).as_posix()
            item.add_marker(checks.mark(checks.cluster(test)))


@pytest.fixture(scope="package", autouse=True)
def alone() -> Iterator[None]:
    """This thread, and all processes and threads it starts, see the loopback interface only. Needs root."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = NAMESPACE.open() if NAMESPACE.exists() else None
    if before is None or libc.unshare(CLONE_NEWNET):
        if os.environ.get("ROSETTA_REQUIRE_DOCKER"):
            pytest.fail("tests of clusters are required here, and a network of its own takes root on Linux")
        pytest.skip("a cluster for tests wants a network of its own, which takes root on Linux")
    with before:
        with socket.socket() as any_:
            fcntl.ioctl(any_, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))
        yield
        libc.setns(before.fileno(), CLONE_NEWNET)


@pytest.fixture(scope="package", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One cache for all nodes, and Ray's token, which is else in the home folder."""
    folder = tmp_path_factory.mktemp("cluster")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROSETTA_CACHE", str(folder / "cache"))
        patch.setenv("RAY_AUTH_TOKEN_PATH", str(folder / "token"))
        (folder / "token").write_text("for-tests")
        yield folder / "cache"


@pytest.fixture(scope="module")
def nodes(alone: None, cache: Path) -> Iterator[Any]:
    """Three nodes and their head."""
    from tests.support import clusters

    with clusters.cluster() as made:
        yield made


@pytest.fixture(scope="module")
def cluster(nodes: Any) -> Iterator[Any]:
    """The engine on the three nodes, whose jobs are plain child processes."""
    from tests.support import clusters

    joined = clusters.connect(nodes, engine_cases.ECHO, choice="process", pythons={"echo": Path(sys.executable)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", nodes.address)  # for orchestrators in processes of their own
        yield joined
    joined.close()
