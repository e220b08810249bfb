"""Fixtures for all tests, and the rule that a missing Docker daemon skips docker tests, or fails them when required."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from orchestrator.report import published
from tests.support.paths import ROOT

if TYPE_CHECKING:  # it needs a package that tests without Docker do not
    from orchestrator.engines.docker.engine import DockerEngine

pytest_plugins = ["tests.support.ledger_plugin"]

# A change is judged by the same examples every time; people's machines go on looking for new ones.
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")


# In the background of a script Ctrl-C is ignored, also by all children; tests send it to theirs.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

MARKED = ("browser", "ray")  # folders all of whose tests have a marker of the same name


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of some folders, before pytest selects by markers."""
    for item in items:
        folder = item.path.parent.name
        if folder in MARKED:
            item.add_marker(folder)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def known(root: Path) -> Mapping[str, published.PublishedStudy]:
    """The figures of 2017."""
    return published.load(root / "results" / "reference" / "2017.json")


@pytest.fixture(scope="session")
def docker_engine() -> DockerEngine:
    """The docker engine. Without a daemon the test is skipped, or fails where ROSETTA_REQUIRE_DOCKER is set."""
    from orchestrator.engines.docker import engine
    from orchestrator.errors import HostError

    try:
        return engine.connect()
    except HostError as error:
        if os.environ.get("ROSETTA_REQUIRE_DOCKER"):
            pytest.fail(f"docker tests are required here: {error.message}")
        pytest.skip(error.message)
