"""Cells that passed `rosetta check`, in results/checks/<framework>-<workload>-<device>.json.

A cell that passed is not run again while nothing changed that its outcome depends on. A record names all of that by
hashes, versions and names. Weights and synthetic data are not among them: they follow from the seed in the job, from
this program's code and from the version of NumPy. A record counts only together with the certificate of its cell.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

import orchestrator
from orchestrator import sealed
from orchestrator.errors import StoreError
from orchestrator.files import atomic_write
from orchestrator.plan.catalog import Framework, Image
from orchestrator.plan.jobs import Job
from orchestrator.record import certificates, fingerprint
from orchestrator.record.fingerprint import Checkout
from orchestrator.record.provenance import EnvironmentFacts
from orchestrator.run.preparation import PreparedRun
from orchestrator.strict import Strict
from orchestrator.verify.reference import FRAMEWORK as REFERENCE

OTHERS = ("cli", "report")  # packages of this program that cannot change an outcome
ENVIRONMENT = "environment's "  # begins the names of facts about the environment
MISTAKES = "mistakes"  # the part of workloads/ with the variants of the reference


class PassedCell(Strict):
    """A cell that passed all tests of `check`, and everything that its outcome depends on."""

    schema_version: Literal[1] = 1
    kind: Literal["passed check"] = "passed check"
    framework: str
    workload: str
    device: str
    depends: dict[str, str]  # what it depends on, in words → hash, version or name
    run: str  # its events are in results/verify/<run>/
    made: str  # UTC, ISO 8601


def path_of(results: Path, job: Job) -> Path:
    """The path of a cell's record."""
    certificate = certificates.path_of(results, job.framework, job.workload, job.device, certificates.variant_of(job))
    return results / "checks" / certificate.name


def read(results: Path, job: Job) -> PassedCell | None:
    """The record of a cell; None without one that can be read, or without a certificate of a cell that agrees."""
    try:
        record = sealed.load(path_of(results, job), PassedCell)
        certificate = certificates.read(
            certificates.path_of(results, job.framework, job.workload, job.device, certificates.variant_of(job))
        )
    except StoreError:
        return None
    return record if certificate.word != "diverges" and _covers(record, certificate) else None


def write(results: Path, job: Job, depends: Mapping[str, str], run: str, made: str) -> None:
    """Store that a cell passed. Raises StoreError."""
    path = path_of(results, job)
    record = PassedCell(
        framework=job.framework, workload=job.workload, device=job.device, depends=dict(depends), run=run, made=made
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, sealed.dump(record))
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written: {error.strerror}", hint="name another folder: --results DIR"
        ) from error


def changed(record: PassedCell, depends: Mapping[str, str]) -> list[str]:
    """What the outcome depends on and is not as it was, in words."""
    names = dict.fromkeys((*depends, *record.depends))
    return [name for name in names if depends.get(name) != record.depends.get(name)]


def depends_on(
    job: Job, framework: Framework, image: Image, prepared: PreparedRun, code: Checkout, environment: EnvironmentFacts
) -> dict[str, str]:
    """Everything that the outcome of a cell depends on."""
    parts = {**code.modules[framework.module], **code.modules[REFERENCE]}
    parts[MISTAKES] = code.modules[MISTAKES][MISTAKES]  # not what it uses: that is the reference
    return {
        **{f"workloads/{name}": digest for name, digest in sorted(parts.items())},
        **_environment(environment),
        "labels": f"{framework.version}, Python {image.python}",
        "job": hashlib.sha256(job.model_dump_json().encode()).hexdigest(),
        "engine": prepared.engine.name,
        "machine": f"{prepared.host.title()}, {prepared.host.cpus_for(job.cpus)}, driver {prepared.host.driver}",
        "orchestrator": _own_code(),
        "Python and NumPy of the reference": f"{platform.python_version()}, {np.__version__}",
    }


def _environment(environment: EnvironmentFacts) -> dict[str, str]:
    """The facts that identify an environment."""
    facts = {name: getattr(environment, name) for name in (*certificates.ENVIRONMENT, "python")}
    return {f"{ENVIRONMENT}{name}": str(value) for name, value in facts.items() if value is not None}


def _covers(record: PassedCell, certificate: certificates.Certificate) -> bool:
    """Whether a certificate is about the environment and the code of the record."""
    facts = {
        **_environment(certificate.environment),
        **{f"workloads/{name}": digest for name, digest in certificate.code.items()},
    }
    return all(record.depends.get(name) == value for name, value in facts.items())


def _own_code() -> str:
    """The hash of this program's code, without the packages that only show results."""
    folder = Path(orchestrator.__file__).parent
    paths = {path.relative_to(folder): path for path in folder.rglob("*.py")}
    sources = {name.as_posix(): path.read_bytes() for name, path in paths.items() if name.parts[0] not in OTHERS}
    return fingerprint.sha256_of_sources(sources)
