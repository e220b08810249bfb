"""The ray engine: the nodes of a Ray cluster, each of which runs jobs with an engine of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.engines.registration import Registration, Setup
from orchestrator.errors import HostError

if TYPE_CHECKING:
    from orchestrator.engines.base import Engine


def _connect(setup: Setup) -> Engine:
    try:
        from orchestrator.engines.ray import cluster
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise HostError(
            "the ray engine needs Ray, which is not installed here",
            hint="install this program again with it: pipx install --force './rosetta[ray]', "
            "or .venv/bin/pip install -e '.[ray]' in a checkout",
        ) from error
    return cluster.connect(setup)


ENGINE = Registration(name="ray", connect=_connect, local=False, takes_interpreters=True)
