"""Certificates: the verdicts of `rosetta verify`, in results/certificates/<framework>-<workload>-<device>.json.

A workload with variants has <workload>-<variant> there, because its variants are different networks.

A certificate covers one environment, one state of the workload code and one set of weights, each identified by a hash.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from orchestrator import sealed
from orchestrator.errors import StoreError
from orchestrator.files import atomic_write
from orchestrator.plan.jobs import Job
from orchestrator.plan.spec import WorkloadName
from orchestrator.plan.workloads import WORKLOADS
from orchestrator.record import fingerprint
from orchestrator.record.figures import TIMED_FEATURES
from orchestrator.record.provenance import CodeFacts, EnvironmentFacts, environment_facts
from orchestrator.record.results import Provenance
from orchestrator.strict import Strict

PRECISION = "fp32"  # that of every verified job
WEIGHTS = "weights.npz"  # what results call the file of the initial weights
ENVIRONMENT = ("id", "lock_sha256", "interpreter")  # the facts that identify an environment

Distance = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Value = Annotated[float, Field(allow_inf_nan=False)]


class Envelope(Strict):
    """The largest distances from the reference that rounding explains."""

    losses: tuple[Distance, ...]  # relative error of the loss, by step
    probe: Distance
    updates: dict[str, Distance] = Field(default_factory=dict)  # relative error of the first update, by weight


class FirstStep(Strict):
    """The first step of the verified training, without dropout, as the reference computed it."""

    loss: Value
    batch: int
    train_samples: int | None  # the setting: which samples come first depends on it


# "declared": the cell differs from the reference only as its own notes declare.
Found = Literal["certified", "declared", "diverges"]
ParityWord = Literal[Found, "not run"]


class Parity(Strict):
    """The verdict on one cell."""

    word: ParityWord
    why: str
    loss_errors: tuple[Distance, ...] = ()  # relative error of the loss, by step
    update_errors: dict[str, Distance] = Field(default_factory=dict)  # relative error of the first update, by weight
    probe_error: Distance | None = None  # largest error of the probe / largest value of the reference's probe
    dropout_error: Distance | None = None  # the same for the untrained scores of the job with dropout
    cosine: Annotated[float, Field(ge=-1.0001, le=1.0001)] | None = None  # between the two probes
    # The largest error of losses, updates and probe, divided by what float32 rounding costs the reference.
    times_rounding: Distance | None = None
    first_step: int | None = None  # the first one outside the envelope, from 1
    weights: tuple[str, ...] = ()  # whose first update is outside the envelope, from input to output
    culprits: tuple[str, ...] = ()  # known mistakes that explain the difference

    @property
    def loss_error(self) -> float | None:
        """The largest relative error of a loss; None for a cell without losses."""
        return max(self.loss_errors, default=None)


class Certificate(Strict):
    """The verdict on one cell, and what it is valid for."""

    schema_version: Literal[1] = 1
    kind: Literal["certificate"] = "certificate"
    framework: str
    workload: WorkloadName
    variant: str | None = None  # None for a workload without variants
    device: Literal["cpu", "gpu"]
    engine: str
    parity: Parity
    envelope: Envelope
    steps: int
    environment: EnvironmentFacts  # only the facts in ENVIRONMENT, as far as the engine has them
    code: dict[str, str]  # part of workloads/ that the cell's code uses → sha256, as in results
    workloads_sha256: str  # of all of workloads/, as in results
    weights_sha256: str
    data: str  # fingerprint of the dataset
    versions: dict[str, str]
    oracle: dict[str, str]  # versions that the reference ran with
    run: str  # its events are in results/verify/<run>/
    made: str  # UTC, ISO 8601
    # What a timed job has to give as well, of the reference; none in earlier versions.
    features: Annotated[tuple[Value, ...], Field(max_length=TIMED_FEATURES)] = ()  # as Figures.timed_features
    features_tolerance: Distance = 0.0  # the largest difference of a feature that rounding explains
    first_step: FirstStep | None = None
    by: str = ""  # the user who ran `verify`, by the name at the login; says who, and proves nothing

    @property
    def word(self) -> Found:
        """The verdict. Raises ValueError for a cell that did not run, which has no certificate."""
        if self.parity.word == "not run":
            raise ValueError("a cell that did not run has no certificate")
        return self.parity.word

    @model_validator(mode="after")
    def _has_run(self) -> Certificate:
        _ = self.word
        return self


def variant_of(job: Job) -> str | None:
    """The variant of the workload that a job runs, or its ranks, if several; None for a workload without variants."""
    variant: str | None = job.settings.get("variant")
    return variant if job.ranks == 1 else f"{job.ranks}-ranks"


def path_of(results: Path, framework: str, workload: str, device: str, variant: str | None = None) -> Path:
    """The path of a cell's certificate."""
    network = f"{workload}-{variant}" if variant else workload
    return results / "certificates" / f"{framework}-{network}-{device}.json"


def _own_path(results: Path, certificate: Certificate) -> Path:
    return path_of(results, certificate.framework, certificate.workload, certificate.device, certificate.variant)


def write(results: Path, certificate: Certificate) -> Path:
    """Store a certificate in place of the earlier one of its cell. Raises StoreError."""
    path = _own_path(results, certificate)
    try:
        atomic_write(path, sealed.dump(certificate))
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written: {error.strerror}", hint="name another folder: --results DIR"
        ) from error
    return path


def read(path: Path) -> Certificate:
    """Read a certificate. Raises StoreError when it is missing or edited, or when the file is something else."""
    try:
        return sealed.load(path, Certificate)
    except StoreError as error:
        raise StoreError(error.message, hint="delete it, and make it again with `rosetta verify`") from error


def held(results: Path) -> tuple[list[Certificate], list[StoreError]]:
    """The certificates beside the runs in `results`, and an error for each that cannot be read."""
    found, damaged = [], []
    for path in sorted((results / "certificates").glob("*.json")):
        try:
            certificate = read(path)
        except StoreError as error:
            damaged.append(error)
            continue
        if path == _own_path(results, certificate):
            found.append(certificate)
        else:
            damaged.append(StoreError(f"{path}: it is the certificate of another cell", hint="delete it"))
    return found, damaged


def environment_hashes(environment: EnvironmentFacts) -> EnvironmentFacts:
    """The facts that identify an environment, without all others."""
    facts = {name: getattr(environment, name) for name in ENVIRONMENT}
    return environment_facts({name: value for name, value in facts.items() if value is not None})


def stale(certificate: Certificate, provenance: Provenance) -> list[str]:
    """What a result was measured with that the certificate does not cover; empty when the certificate is valid."""
    changed = [
        name
        for name in ENVIRONMENT
        if (verified := getattr(certificate.environment, name)) is not None
        and getattr(provenance.environment, name) != verified
    ]
    weights = provenance.data.inputs.get(WEIGHTS) if provenance.data else None
    # Where weights depend on the settings, those of the small verified model never are those of a timed one.
    if WORKLOADS[certificate.workload].sized_weights is None and weights != certificate.weights_sha256:
        changed.append("weights")
    code = CodeFacts(workloads_sha256=certificate.workloads_sha256, parts_sha256=certificate.code)
    return changed + fingerprint.differences(code, provenance.code)
