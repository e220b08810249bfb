"""Turns what Ray raises, when part of a cluster is gone or does not fit, into errors that the user can act on."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import ray.exceptions

from orchestrator.engines.base import EngineError
from orchestrator.errors import HostError
from orchestrator.text import MAX_NOTE, printable

REPORT_HINT = "this is a fault of this program, or the node's disk: its log is in /tmp/ray/session_latest/logs there"
RESUME_HINT = "start the cluster again (docs/cluster.md), then go on with: rosetta bench --resume RUN"
LOST_HINT = "see on the node why (`ray status` lists the nodes there are); --retries N repeats its jobs on other nodes"


@contextlib.contextmanager
def headless() -> Iterator[None]:
    """Turn what Ray raises when the cluster's head does not answer into HostError."""
    try:
        yield
    except (ray.exceptions.RayError, RuntimeError, ConnectionError) as error:
        raise HostError(f"the cluster's head no longer answers: {words(error)}", hint=RESUME_HINT) from error


@contextlib.contextmanager
def losses(node: str) -> Iterator[None]:
    """Turn what Ray raises when a node, or this program's worker on it, is gone into a failure of the job."""
    try:
        yield
    except ray.exceptions.RuntimeEnvSetupError as error:
        raise EngineError(
            f"node {node} cannot unpack the project: {words(error)}", hint="see /tmp/ray there", kind="node"
        ) from error
    except ray.exceptions.RayTaskError as error:  # this program's worker on the node has a fault
        cause = error.cause
        raise EngineError(f"node {node}: {type(cause).__name__}: {words(cause)}", hint=REPORT_HINT) from error
    except (ray.exceptions.RayError, RuntimeError) as error:
        missing = re.search(r"No module named '([\w.]+)'", str(error))
        if missing:
            raise EngineError(
                f"node {node} lacks the Python package {missing[1]!r}",
                hint="install this program there, in the Python that runs Ray: pip install -e '.[ray]' in a checkout",
                kind="node",
            ) from error
        raise EngineError(f"node {node} was lost: {words(error)}", hint=LOST_HINT, kind="node") from error


def refused(address: str, error: Exception) -> HostError:
    """Why a cluster that answers cannot be joined."""
    text = str(error)
    if "Version mismatch" in text:
        return HostError(
            f"the Ray cluster at {address} has another version of Ray or Python: {words(error, 400)}",
            hint="run the orchestrator, and every node, with the same Ray and the same Python (docs/cluster.md)",
        )
    return HostError(f"cannot join the Ray cluster at {address}: {words(error)}", hint="see docs/cluster.md")


def words(error: Exception, most: int = MAX_NOTE) -> str:
    """The text of an error of Ray, on one line; it may contain text from a node."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return printable(" ".join(lines) or type(error).__name__, most)
