"""After a report stand the commands that fit its runs; where all jobs failed, one error for each cause."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from orchestrator.cli import app, next_steps, place
from orchestrator.record.results import Failure
from orchestrator.record.run_folder import RunFolder
from orchestrator.report import collected, tables, terminal
from tests.support import published
from tests.support.certificates import certificate, ran
from tests.support.paths import ROOT
from tests.support.results import cnn, measured, result, trained

RUN = "20260101-000000-test"


@pytest.fixture
def stored(tmp_path):
    """Store results as a run, with the command that measured them; returns its folder."""

    def store(*results, command=("orchestrator", "bench")):
        folder = RunFolder(tmp_path / RUN)
        folder.path.mkdir()
        folder.write_run(measured(*results).run.model_copy(update={"command": command}))
        for each in results:
            folder.write_result(each)
        return folder

    return store


@pytest.fixture(autouse=True)
def _in_the_checkout():
    place.choose(place.find(None, ROOT))


def commands(folder, *own):
    origins = [collected.Origin(mine=True)]
    content = collected.of_runs([folder], ROOT, origins, own)
    return [step.command for step in next_steps.after(content, [folder.id])]


def test_the_commands_fit_the_run(stored, tmp_path):
    folder = stored(cnn("numpy", 50.0), cnn("jax", 60.0), cnn("gluon", 90.0))
    option = f"--results {tmp_path}"
    assert commands(folder) == [
        f"rosetta report {RUN} --open {option}",
        f"rosetta verify numpy jax gluon --workload cnn {option}",
        f"rosetta compare {RUN}:numpy {RUN}:jax {option}",
        "rosetta bench --repeats auto",
    ]


def test_several_ranks_are_verified_as_several(stored, tmp_path):
    alone = cnn("pytorch", 50.0)
    folder = stored(alone.model_copy(update={"job": alone.job.model_copy(update={"ranks": 2})}))
    command = f"rosetta verify pytorch --workload cnn --set ranks=2 --results {tmp_path}"
    assert command in commands(folder)


def test_what_was_verified_alone_needs_no_more_than_its_report(stored):
    assert [each.split()[1] for each in commands(stored(ran(cnn())), certificate())] == ["report"]


@pytest.mark.parametrize("words", [("--resume", RUN), ("--repeats", "3"), ("--repeats=3",)])
def test_repeats_are_not_advised_where_they_were_set(stored, words):
    found = commands(stored(cnn("numpy", 50.0), cnn("jax"), command=("orchestrator", "bench", *words)))
    assert not any("auto" in each for each in found)


def test_jobs_that_the_machine_made_fail_are_resumed(stored, tmp_path):
    lost = result("numpy", failure=Failure(kind="pull", message="m"))
    assert commands(stored(lost)) == [f"rosetta bench --resume {RUN} --results {tmp_path}"]


def test_a_capsule_becomes_a_page():
    path = published.FOLDER / "intel-xeon-2-cpus-quick.json"
    done = CliRunner().invoke(app.app, ["report", str(path)])
    assert done.exit_code == 0
    assert re.search(r"next:\n  rosetta report \S+\.json --format html -o report.html\n", done.stdout)
    done = CliRunner().invoke(app.app, ["report", str(path), "--format", "markdown"])
    assert "next:" not in done.stdout


def shown(results, log_of=lambda _: None):
    console = Console(width=100, record=True, file=io.StringIO())
    terminal.show(console, tables.tables(results, {}), results, log_of=log_of)
    return console.export_text()


def test_jobs_with_one_cause_are_one_error_and_no_empty_table(stored):
    pull = Failure(kind="pull", message="no such image", hint="log in")
    broke = Failure(kind="exception", message="it broke", log=("line 1",))
    results = [*(result(name, failure=pull) for name in ("numpy", "jax")), result("gluon", failure=broke)]
    folder = stored(*results)
    (folder.path / "gluon-cnn-cpu-1.log").write_text("Traceback")
    (folder.path / "numpy-cnn-cpu-1.log").touch()
    (folder.path / "orchestrator.log").write_text("all")
    content = collected.of_runs([folder], ROOT)
    text = shown(content.results, content.log_of)
    assert "DL Library" not in text
    assert "3 jobs failed" in text
    assert "✗ numpy-cnn-cpu-1, jax-cnn-cpu-1 pull: no such image" in text
    assert text.count("no such image") == text.count("→ log in") == 1
    assert re.findall(r"^  log: (.*)$", text, re.MULTILINE) == [
        str(folder.path / name) for name in ("orchestrator.log", "gluon-cnn-cpu-1.log")
    ]


def test_a_log_that_the_remedy_names_is_not_named_again():
    log = Path("results/run/numpy-cnn-cpu-1.log")
    failure = Failure(kind="exception", message="it broke", hint=f"all that it printed is in {log}")
    text = shown([result("numpy", failure=failure)], lambda _: log)
    assert "".join(text.split()).count(str(log)) == 1


def test_the_log_of_a_verified_job_is_named_from_the_results_folder_on(tmp_path):
    for folder in (tmp_path / "results", tmp_path / "results" / "verify"):
        run = RunFolder.create(folder, "x")
        with run.record("numpy-cnn-cpu-1") as recorder:
            assert recorder.log_name == str((run.path / "numpy-cnn-cpu-1.log").relative_to(tmp_path))


def test_a_table_with_a_figure_is_shown_though_others_failed():
    text = shown([trained(), result("numpy", failure=Failure(kind="pull", message="m"))])
    assert "Numpy (failed: pull)" in " ".join(text.split())
    assert "log:" not in text


def test_many_jobs_with_one_cause_are_counted():
    results = [result(f"f{number}", failure=Failure(kind="pull", message="m")) for number in range(9)]
    assert "f5-cnn-cpu-1 and 3 more pull: m" in " ".join(shown(results).split())
