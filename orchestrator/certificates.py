"""What `orchestrator verify` found, kept beside the results: results/certificates/<framework>-<workload>-<device>.json.

A certificate speaks of one environment, one state of the workload code and one set of weights, all named by hashes; of
anything else it says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from orchestrator import store
from orchestrator.catalog import Framework
from orchestrator.errors import StoreError
from orchestrator.files import atomic_write, sha256_of_tree
from orchestrator.parity import Envelope, Parity
from orchestrator.spec import Strict, WorkloadName

ENVIRONMENT = ("id", "lock_sha256", "interpreter")  # those of an environment's facts that name it


class Certificate(Strict):
    """The verdict on one cell and all that it holds for."""

    schema_version: Literal[1] = 1
    kind: Literal["certificate"] = "certificate"
    framework: str
    workload: WorkloadName
    device: Literal["cpu", "gpu"]
    engine: str
    parity: Parity
    envelope: Envelope
    steps: int
    environment: dict[str, str]  # image id and sha256 of the lock, as far as the engine knows them
    code: dict[str, str]  # folder below workloads/ → sha256
    weights_sha256: str
    data: str  # fingerprint of the dataset
    versions: dict[str, str]
    oracle: dict[str, str]  # versions of what the reference ran with
    run: str  # where its events are: results/verify/<run>/
    made: str  # UTC, ISO 8601


def path_of(results: Path, framework: str, workload: str, device: str) -> Path:
    """Where the certificate of a cell is."""
    return results / "certificates" / f"{framework}-{workload}-{device}.json"


def write(results: Path, certificate: Certificate) -> Path:
    """Store it, in place of the cell's earlier one. Raises StoreError."""
    path = path_of(results, certificate.framework, certificate.workload, certificate.device)
    try:
        atomic_write(path, store.sealed(certificate))
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror}", hint="pass --results DIR") from error
    return path


def read(path: Path) -> Certificate:
    """Read one. Raises StoreError when it is missing, edited, or no certificate."""
    return store.read_sealed(path, Certificate)


def code_hashes(root: Path, framework: Framework) -> dict[str, str]:
    """The workload code of one framework as it is now: its own folder and what all share."""
    return {name: sha256_of_tree(root / "workloads" / name) for name in (framework.module, "common")}


def environment_hashes(facts: Mapping[str, Any]) -> dict[str, str]:
    """What names an environment, of the facts that an engine gives of it."""
    return {key: str(facts[key]) for key in ENVIRONMENT if facts.get(key) is not None}


def stale(certificate: Certificate, *, code: Mapping[str, str], environment: Mapping[str, str]) -> list[str]:
    """What has changed since the certificate was made; empty while it holds."""
    changed = [f"workloads/{name}" for name, digest in certificate.code.items() if code.get(name) != digest]
    return changed + [name for name, digest in certificate.environment.items() if environment.get(name) != digest]
