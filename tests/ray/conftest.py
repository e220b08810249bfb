"""A cluster of three nodes, in a network of its own: Ray listens on all interfaces, and nobody else is to hear."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from tests import engine_cases as cases
from tests.ray import clusters

CLONE_NEWNET = 0x40000000


@pytest.fixture(scope="session", autouse=True)
def alone():
    """This thread, and all processes and threads it starts, see the loopback interface only. Needs root."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as before:
        if libc.unshare(CLONE_NEWNET):
            yield
            return
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield
        libc.setns(before.fileno(), CLONE_NEWNET)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """One cache and one home for all nodes: the home is where Ray keeps its token."""
    folder = tmp_path_factory.mktemp("cluster")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROSETTA_CACHE", str(folder / "cache"))
        patch.setenv("RAY_AUTH_TOKEN_PATH", str(folder / "token"))
        (folder / "token").write_text("for-tests")
        yield folder / "cache"


@pytest.fixture(scope="module")
def nodes(alone, cache):
    """Three nodes and their head."""
    with clusters.cluster() as made:
        yield made


@pytest.fixture(scope="module")
def cluster(nodes):
    """The engine on these nodes, whose jobs are plain child processes."""
    joined = clusters.connect(nodes, cases.ECHO, pythons={"echo": Path(sys.executable)})
    yield joined
    joined.close()
