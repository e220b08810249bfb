"""Made-up certificates, and results that fit them."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from orchestrator.record import certificates
from orchestrator.record.certificates import Envelope, Parity
from orchestrator.record.results import Result
from orchestrator.report import certified
from orchestrator.report.certified import Known, Origin
from tests.support.facts import with_facts

PARTS = {"__init__.py": "1", "common": "2", "pytorch": "3"}


def certificate(
    framework: str = "pytorch",
    word: Literal["certified", "declared", "diverges"] = "certified",
    *,
    made: str = "2026-11-23T10:00:00+00:00",
    **changes: Any,
) -> certificates.Certificate:
    fields = {
        "framework": framework, "workload": "cnn", "device": "cpu", "engine": "docker",
        "parity": Parity(word=word, why="" if word == "certified" else "the loss of step 3 is off"),
        "envelope": Envelope(losses=(1e-5,), probe=1e-5), "steps": 1, "environment": {"id": "sha256:1"},
        "code": PARTS, "workloads_sha256": "6", "weights_sha256": "4", "data": "5", "versions": {}, "oracle": {},
        "run": "r", "made": made,
    }  # fmt: skip
    return certificates.Certificate.model_validate({**fields, **changes})


def ran(each: Result, *, environment: str = "sha256:1", parts: Mapping[str, str] = PARTS, weights: str = "4") -> Result:
    """A result measured with these."""
    data = each.provenance.data and each.provenance.data.model_copy(update={"inputs": {"weights.npz": weights}})
    code = {"workloads_sha256": "6", "parts_sha256": dict(parts)}
    return with_facts(each, environment={"id": environment}, code=code, data=data)


def mine(results: Iterable[Result], *found: certificates.Certificate) -> Known:
    """Results and certificates in the reader's own results folder."""
    return certified.known([(Origin(mine=True), results)], found)
