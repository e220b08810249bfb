"""What `orchestrator verify` found, kept beside the results: results/certificates/<framework>-<workload>-<device>.json.

A workload with variants has <workload>-<variant> there: they are different networks.

A certificate speaks of one environment, one state of the workload code and one set of weights, all named by hashes; of
anything else it says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from orchestrator import sealed
from orchestrator.errors import StoreError
from orchestrator.files import atomic_write
from orchestrator.plan.jobs import Job
from orchestrator.plan.spec import WorkloadName
from orchestrator.record import fingerprint
from orchestrator.record.results import Provenance
from orchestrator.strict import Strict

PRECISION = "fp32"  # what configs/verify.yaml asks for
WEIGHTS = "weights.npz"  # what results call the file of the initial weights
ENVIRONMENT = ("id", "lock_sha256", "interpreter")  # those of an environment's facts that name it

Distance = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Envelope(Strict):
    """The largest distances from the oracle that rounding explains."""

    losses: tuple[Distance, ...]  # relative error of the loss, by step
    probe: Distance
    updates: dict[str, Distance] = Field(default_factory=dict)  # relative error of the first update, by weight


# A cell that differs as declared says itself, in its notes, what it does differently, and does nothing else.
Found = Literal["certified", "declared", "diverges"]
ParityWord = Literal[Found, "not run"]


class Parity(Strict):
    """The verdict on one cell."""

    word: ParityWord
    why: str
    loss_errors: tuple[Distance, ...] = ()  # |loss - oracle's| / |oracle's|, by step
    update_errors: dict[str, Distance] = Field(default_factory=dict)  # |update - oracle's| / |oracle's|, by weight
    probe_error: Distance | None = None  # max |probe - oracle's| / max |oracle's|
    dropout_error: Distance | None = None  # the same of untrained scores of the job in dropout.py
    cosine: Annotated[float, Field(ge=-1.0001, le=1.0001)] | None = None  # of the angle between the two probes
    # The largest error of losses, updates and probe in units of what float32 costs the oracle; ALLOWANCE is the limit.
    times_rounding: Distance | None = None
    first_step: int | None = None  # the first one outside the envelope, from 1
    weights: tuple[str, ...] = ()  # those whose first update is outside the envelope, from the input to the output
    culprits: tuple[str, ...] = ()  # the known mistakes that explain it

    @property
    def loss_error(self) -> float | None:
        """The largest relative error of a loss; None of a cell without losses."""
        return max(self.loss_errors, default=None)


class Certificate(Strict):
    """The verdict on one cell and all that it holds for."""

    schema_version: Literal[1] = 1
    kind: Literal["certificate"] = "certificate"
    framework: str
    workload: WorkloadName
    variant: str | None = None  # of the workload; None for one without variants
    device: Literal["cpu", "gpu"]
    engine: str
    parity: Parity
    envelope: Envelope
    steps: int
    environment: dict[str, str]  # image id and sha256 of the lock, as far as the engine knows them
    code: dict[str, str]  # part of workloads/ that the cell's code is made of → sha256, as results have it
    workloads_sha256: str  # of all of workloads/, as results have it
    weights_sha256: str
    data: str  # fingerprint of the dataset
    versions: dict[str, str]
    oracle: dict[str, str]  # versions of what the reference ran with
    run: str  # where its events are: results/verify/<run>/
    made: str  # UTC, ISO 8601

    @property
    def word(self) -> Found:
        """What was found. Raises ValueError of a cell that did not run, which has no certificate."""
        if self.parity.word == "not run":
            raise ValueError("a cell that did not run has no certificate")
        return self.parity.word

    @model_validator(mode="after")
    def _has_run(self) -> Certificate:
        _ = self.word
        return self


def variant_of(job: Job) -> str | None:
    """The variant of its workload that a job runs; None for a workload without variants."""
    variant: str | None = job.settings.get("variant")
    return variant


def path_of(results: Path, framework: str, workload: str, device: str, variant: str | None = None) -> Path:
    """Where the certificate of a cell is."""
    network = f"{workload}-{variant}" if variant else workload
    return results / "certificates" / f"{framework}-{network}-{device}.json"


def write(results: Path, certificate: Certificate) -> Path:
    """Store it, in place of the cell's earlier one. Raises StoreError."""
    path = path_of(results, certificate.framework, certificate.workload, certificate.device, certificate.variant)
    try:
        atomic_write(path, sealed.sealed(certificate))
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror}", hint="pass --results DIR") from error
    return path


def read(path: Path) -> Certificate:
    """Read one. Raises StoreError when it is missing, edited, or no certificate."""
    try:
        return sealed.read(path, Certificate)
    except StoreError as error:
        raise StoreError(error.message, hint="delete it, and make it again with `orchestrator verify`") from error


def held(results: Path, complain: Callable[[StoreError], None]) -> list[Certificate]:
    """All certificates beside the runs in `results`. One that cannot be read is left out and told to `complain`."""
    found = []
    for path in sorted((results / "certificates").glob("*.json")):
        try:
            found.append(read(path))
        except StoreError as error:
            complain(error)
    return found


def environment_hashes(facts: Mapping[str, Any]) -> dict[str, str]:
    """What names an environment, of the facts that an engine gives of it."""
    return {key: str(facts[key]) for key in ENVIRONMENT if facts.get(key) is not None}


def stale(certificate: Certificate, provenance: Provenance) -> list[str]:
    """What a result came about with that the certificate does not speak of; empty where it holds."""
    there = environment_hashes(provenance.environment)
    changed = [name for name, digest in certificate.environment.items() if there.get(name) != digest]
    weights = provenance.data.inputs.get(WEIGHTS) if provenance.data else None
    if weights != certificate.weights_sha256:
        changed.append("weights")
    verified = {fingerprint.WHOLE: certificate.workloads_sha256, fingerprint.PARTS: certificate.code}
    return changed + fingerprint.differences(verified, provenance.code)
