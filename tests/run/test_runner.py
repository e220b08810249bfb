"""Environments: made once, before the first job; a missing CPU build is replaced by the CUDA build, and said so."""

import contextlib
import logging
import shutil
import sys
from pathlib import Path

import pytest

from orchestrator.engines.base import EngineError
from orchestrator.engines.process.engine import ProcessEngine
from orchestrator.errors import BuildError, MissingWheelError
from orchestrator.plan import catalog
from orchestrator.record.provenance import EnvironmentFacts
from orchestrator.record.results import Failure
from orchestrator.record.run_folder import RunFolder
from tests.support import engine_cases


class Picky(ProcessEngine):
    """The process engine on an index without the builds in `missing`."""

    def __init__(self, folder, missing):
        super().__init__(cache=folder, pythons={"echo": Path(sys.executable)})
        self.missing = missing
        self.asked = []

    def prepare(self, image, variant):
        self.asked.append(variant)
        if variant in self.missing:
            raise self.missing[variant]
        return super().prepare(image, variant)


def test_an_environment_is_made_once_for_all_jobs(tmp_path):
    engine = Picky(tmp_path, {})
    _, results = engine_cases.run_echo(engine, tmp_path, "good", "chatty")
    assert engine.asked == ["cpu"]
    assert [result.status for result in results] == ["ok", "ok"]


def test_a_missing_cpu_build_is_replaced_by_the_cuda_build(tmp_path, caplog):
    root = tmp_path / "project"
    shutil.copytree(engine_cases.ECHO, root)
    (root / "images" / "echo" / "requirements-cuda.txt").touch()
    engine = Picky(tmp_path, {"cpu": MissingWheelError("no x==1+cpu", hint="set PIP_FIND_LINKS")})
    _, (result,) = engine_cases.run_echo(engine, tmp_path, "good", root=root)
    assert engine.asked == ["cpu", "cuda"]
    assert result.status == "ok"
    assert any("using its cuda variant" in line and "set PIP_FIND_LINKS" in line for line in caplog.messages)


def test_without_a_cuda_build_the_jobs_fail_with_the_reason(tmp_path):
    engine = Picky(tmp_path, {"cpu": MissingWheelError("no x==1+cpu", hint="set PIP_FIND_LINKS")})
    _, (result,) = engine_cases.run_echo(engine, tmp_path, "good")
    assert (result.status, result.failure.kind, result.failure.message) == ("failed", "build", "no x==1+cpu")


def test_no_other_build_error_is_replaced(tmp_path):
    engine = Picky(tmp_path, {"cpu": BuildError("disk full", hint="make room")})
    _, (result,) = engine_cases.run_echo(engine, tmp_path, "good")
    assert engine.asked == ["cpu"]
    assert (result.failure.message, result.failure.hint) == ("disk full", "make room")


def test_data_that_is_missing_fails_its_jobs_only(tmp_path, monkeypatch):
    from orchestrator.errors import DataError

    def refuse(self, job):
        if job.framework == "good":
            raise DataError("x_train.npy is truncated", hint="import it again")
        return original(self, job)

    original = engine_cases.FewInputs.for_job
    monkeypatch.setattr(engine_cases.FewInputs, "for_job", refuse)
    _, results = engine_cases.run_echo(Picky(tmp_path, {}), tmp_path, "good", "chatty")
    assert [(result.status, result.failure and result.failure.kind) for result in results] == [
        ("failed", "data"),
        ("ok", None),
    ]


def test_a_job_that_cannot_run_here_is_skipped_before_anything_is_built(tmp_path):
    engine = Picky(tmp_path, {})
    skip = {"chatty-resnet50-cpu-1": Failure(kind="incompatible", message="no code", hint="use --device cpu")}
    folder, results = engine_cases.run_echo(engine, tmp_path, "chatty", retries=2, skip=skip)
    assert engine.asked == []
    (skipped,) = results
    assert (skipped.status, skipped.failure, skipped.attempt) == ("skipped", skip[skipped.job.id], 1)
    assert skipped.provenance.environment == EnvironmentFacts()
    assert folder.read_result(skipped.job.id) == skipped
    assert folder.missing([skipped.job]) == []


def test_the_jobs_beside_a_skipped_one_run(tmp_path):
    skip = {"chatty-resnet50-cpu-1": Failure(kind="incompatible", message="no code", hint="use --device cpu")}
    _, results = engine_cases.run_echo(Picky(tmp_path, {}), tmp_path, "good", "chatty", skip=skip)
    assert [result.status for result in results] == ["ok", "skipped"]


@pytest.mark.parametrize("retries", [0, 1])
def test_an_attempt_that_is_still_to_come_is_not_forgotten(tmp_path, retries):
    """A job that lost its node waits for another: a run that ends meanwhile has no result of it, and --resume runs it."""
    ways_to_end = [KeyboardInterrupt(), EngineError("the node is gone", kind="node")]

    def gone(environment, launch):
        raise ways_to_end.pop()

    lost = Picky(tmp_path, {})
    lost.run = gone
    folder = RunFolder.create(tmp_path / "results", "echo")
    with pytest.raises(KeyboardInterrupt) if retries else contextlib.nullcontext():
        engine_cases.run_echo(lost, tmp_path, "good", retries=retries, resume=folder)
    first = RunFolder(folder.path).read_result("good-resnet50-cpu-1")
    assert first.status == ("interrupted" if retries else "failed")
    if retries:
        _, (again,) = engine_cases.run_echo(Picky(tmp_path, {}), tmp_path, "good", retries=retries, resume=folder)
        assert (again.status, again.attempt) == ("ok", 3)


@pytest.mark.slow
@pytest.mark.parametrize("image", ["numpy"])
def test_a_virtual_environment_is_made_from_the_lock(root, tmp_path, image, caplog):
    """With pip, from the package index: complete, and found again at once."""
    from orchestrator.engines.process import pythons
    from orchestrator.errors import HostError

    (chosen,) = catalog.load(root).select([image])
    try:
        pythons.find(chosen.python, chosen.name)
    except HostError as error:
        pytest.skip(error.message)
    engine = ProcessEngine(cache=tmp_path, pythons={})
    caplog.set_level(logging.INFO, logger="orchestrator")
    made = engine.prepare(chosen, "cpu")
    assert any("Successfully installed numpy" in line for line in caplog.messages)
    assert made.facts["lock_sha256"]
    caplog.clear()
    assert engine.prepare(chosen, "cpu") == made
    assert caplog.messages == []


@pytest.mark.slow
def test_a_broken_lock_leaves_no_environment_behind(root, tmp_path):
    import dataclasses

    (chosen,) = catalog.load(root).select(["numpy"])
    lock = tmp_path / "requirements-cpu.txt"
    lock.write_text("no-such-package-of-ours==1.0+cpu --hash=sha256:" + "0" * 64 + "\n")
    broken = dataclasses.replace(chosen, locks={"cpu": lock}, python="{}.{}".format(*sys.version_info))
    with pytest.raises(
        MissingWheelError, match=r"could not be built: the package index has no no-such-package"
    ) as caught:
        ProcessEngine(cache=tmp_path / "cache", pythons={}).prepare(broken, "cpu")
    assert "PIP_FIND_LINKS" in caught.value.hint
    assert [path.suffix for path in (tmp_path / "cache" / "venvs").iterdir()] == [".lock"]
