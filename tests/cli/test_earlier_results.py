"""Results that earlier versions wrote are reported, compared, reproduced and resumed."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.judge import stored_jobs
from orchestrator.record import capsule
from orchestrator.record.results import Result
from orchestrator.record.run_folder import RunFolder

RUN = "20261130-012828-smoke-numpy"  # written by version 0.1.0, whose provenance was untyped
HEADS = {"table": "DL Library", "markdown": "### ", "csv": "job,framework", "json": "{\n", "html": "<!doctype html>"}


@pytest.fixture
def run(root, tmp_path):
    """A copy of a run of an earlier version."""
    return shutil.copytree(root / "tests" / "data" / RUN, tmp_path / "results" / RUN)


@pytest.fixture(params=["run", "amd-epyc-2-cpus-quick.json", "intel-xeon-2-cpus-quick.json"])
def stored(request, root):
    """A run folder or a published capsule, as a word of the command line."""
    if request.param == "run":
        return str(request.getfixturevalue("run"))
    return str(root / "results" / "published" / request.param)


def invoke(*words):
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exception is None, done.output
    return done.stdout


@pytest.mark.parametrize("form", HEADS)
def test_they_are_reported_in_every_form(stored, tmp_path, form):
    file = tmp_path / "report"
    invoke("report", stored, "--format", form, "-o", file)
    assert HEADS[form].lower() in file.read_text().lower()


def test_they_are_compared_with_themselves_and_with_each_other(root, run):
    published = root / "results" / "published"
    amd, intel = published / "amd-epyc-2-cpus-quick.json", published / "intel-xeon-2-cpus-quick.json"
    same = json.loads(invoke("compare", run, run, "--json"))
    assert {cell["ratio"] for cell in same["cells"]} == {1.0}
    assert same["differences"] == []
    found = json.loads(invoke("compare", amd, intel, "--json"))
    assert any("different machines" in warning for warning in found["warnings"])
    assert {"CPU", "machine id", "kernel"} <= {each["what"] for each in found["differences"]}
    mixed = json.loads(invoke("compare", run, amd, "--json"))
    assert {cell["word"] for cell in mixed["cells"]} == {"not comparable"}  # other amounts of work


def test_exactly_the_job_without_a_result_is_missing(run):
    folder = RunFolder(run)
    jobs = folder.read_run().jobs
    assert folder.missing(jobs) == []
    (run / "numpy-cnn-cpu-2.json").unlink()
    assert [job.id for job in folder.missing(jobs)] == ["numpy-cnn-cpu-2"]


def test_their_specs_are_valid_and_their_provenance_is_kept_as_it_was_written(stored, run):
    path = Path(stored) if Path(stored).is_file() else run / "numpy-cnn-cpu-1.json"
    file = json.loads(path.read_text(encoding="utf-8"))
    written = [each for kept in file["runs"] for each in kept["results"]] if "runs" in file else [file]
    results = capsule.results_in(path)
    for result, content in zip(results, written, strict=True):
        for part in ("environment", "code", "host"):
            assert getattr(result.provenance, part).model_dump(mode="json") == content["provenance"][part]
    for cell in stored_jobs.cells_of(results, "file"):
        assert stored_jobs.spec_of(cell[0], 3).workloads == (cell[0].job.workload,)


def test_facts_that_this_version_does_not_know_are_kept_and_shown(run, tmp_path):
    folder = RunFolder(run)
    content = folder.results()[0].model_dump(mode="json")
    content["provenance"]["host"]["coolant"] = {"kind": "liquid helium"}
    content["provenance"]["environment"]["sandbox"] = ["gvisor"]
    folder.write_result(Result.model_validate_json(json.dumps(content)))
    again = folder.read_result(content["job"]["id"])
    assert again.provenance.model_dump(mode="json") == content["provenance"]
    invoke("report", run, "--format", "html", "-o", tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "coolant.kind" in text
    assert "liquid helium" in text
    assert "gvisor" in text
