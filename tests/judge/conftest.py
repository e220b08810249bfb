"""Fixtures for tests of judgement that run jobs."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which the inputs of the echo workload are made once."""
    return tmp_path_factory.mktemp("cache")
