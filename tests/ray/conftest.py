"""A cluster of three nodes, in a network of its own: Ray listens on all interfaces."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import checks, engine_cases, network

HERE = Path(__file__).resolve().parent


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
    try:
        with network.loopback_only():
            yield
    except network.NoNetworkError:
        if os.environ.get("ROSETTA_REQUIRE_DOCKER"):
            pytest.fail("tests of clusters are required here, and a network of its own takes root on Linux")
        pytest.skip("a cluster for tests wants a network of its own, which takes root on Linux")


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
