"""Fixtures for all tests, and the rule that a missing Docker daemon skips docker tests, or fails them when required."""

import os
from pathlib import Path

import hypothesis
import pytest

pytest_plugins = ["tests.support.ledger_plugin"]

# A change is judged by the same examples every time; people's machines go on looking for new ones.
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root():
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def docker_engine():
    """The docker engine. Without a daemon the test is skipped, or fails where ROSETTA_REQUIRE_DOCKER is set."""
    from orchestrator.engines.docker import engine
    from orchestrator.errors import HostError

    try:
        return engine.connect()
    except HostError as error:
        if os.environ.get("ROSETTA_REQUIRE_DOCKER"):
            pytest.fail(f"docker tests are required here: {error.message}")
        pytest.skip(error.message)
