"""Fixtures for tests of workloads."""

import ctypes
from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Makes a workload find this library in place of NVIDIA's driver; None means that there is no driver."""

    def install(library: Any) -> None:
        def load(name: str, **_: Any) -> Any:
            if library is None:
                raise OSError(name)
            return library

        monkeypatch.setattr(ctypes, "CDLL", load)

    return install
