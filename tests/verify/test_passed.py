"""The record of a cell that passed `rosetta check`: what it depends on, and when it counts."""

import pytest

from orchestrator.errors import StoreError
from orchestrator.plan import spec_file
from orchestrator.record import certificates, fingerprint
from orchestrator.record.provenance import EnvironmentFacts
from orchestrator.run import preparation
from orchestrator.verify import passed
from tests.support.certificates import PARTS, certificate
from tests.support.results import result

JOB = result().job
DEPENDS = {
    "environment's id": "sha256:1",
    **{f"workloads/{name}": digest for name, digest in PARTS.items()},
    "job": "j",
}


def stored(results, depends=None, **changes):
    certificates.write(results, certificate(**changes))
    passed.write(results, JOB, depends or DEPENDS, "run", "2026-11-30T10:00:00+00:00")
    return passed.read(results, JOB)


def test_what_is_written_is_read_again(tmp_path):
    record = stored(tmp_path)
    assert (record.run, record.depends) == ("run", DEPENDS)
    assert passed.changed(record, DEPENDS) == []


def test_what_changed_is_named(tmp_path):
    record = stored(tmp_path)
    now = {**DEPENDS, "workloads/pytorch": "another", "engine": "docker"}
    del now["job"]
    assert passed.changed(record, now) == ["workloads/pytorch", "engine", "job"]


def test_a_record_counts_only_with_a_certificate_of_the_same_cell_that_agrees(tmp_path):
    assert passed.read(tmp_path, JOB) is None
    assert stored(tmp_path, word="declared") is not None
    assert stored(tmp_path, word="diverges") is None
    assert stored(tmp_path, environment={"id": "sha256:2"}) is None
    assert stored(tmp_path, code={**PARTS, "pytorch": "4"}) is None
    assert stored(tmp_path) is not None
    certificates.path_of(tmp_path, "pytorch", "cnn", "cpu").unlink()
    assert passed.read(tmp_path, JOB) is None


def test_a_record_that_was_edited_does_not_count(tmp_path):
    stored(tmp_path)
    path = passed.path_of(tmp_path, JOB)
    path.write_text(path.read_text().replace('"job": "j"', '"job": "k"'))
    assert passed.read(tmp_path, JOB) is None


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "checks").write_text("a file")
    with pytest.raises(StoreError, match="cannot be written"):
        passed.write(tmp_path, JOB, DEPENDS, "run", "now")


def test_the_outcome_depends_on_environment_code_job_and_program(root, tmp_path):
    request = preparation.Request(
        root=root,
        results=tmp_path,
        cache=tmp_path,
        spec=root / "configs" / "smoke.yaml",
        overrides=[spec_file.parse_setting("engine=process")],
    )
    prepared = preparation.prepare(request)
    framework, image = prepared.catalog.frameworks["numpy"]
    job = next(job for job in prepared.jobs if job.framework == "numpy")
    code = fingerprint.inspect(root)

    def depends(environment=EnvironmentFacts(lock_sha256="1"), **changes):  # noqa: B008  (it is frozen)
        return passed.depends_on(job.model_copy(update=changes), framework, image, prepared, code, environment)

    now = depends()
    assert {"workloads/numpy", "workloads/mistakes", "workloads/common", "orchestrator", "machine", "engine"} <= set(
        now
    )
    assert "workloads/pytorch" not in now  # another framework's change is none of this one
    for name, other in (
        ("environment's lock_sha256", depends(EnvironmentFacts(lock_sha256="2"))),
        ("job", depends(seed=2)),
    ):
        assert [key for key in now if now[key] != other[key]] == [name]
