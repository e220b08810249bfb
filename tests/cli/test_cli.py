"""The command line as a person meets it: help, mistakes, exit codes, a whole run."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from orchestrator.plan.spec import Spec
from orchestrator.record import run_folder
from tests.support import published
from tests.support.results import trained

VERBS = [
    "bench",
    "doctor",
    "list",
    "report",
    "compare",
    "reproduce",
    "sign",
    "verify",
    "check",
    "new",
    "clean",
    "images build",
    "images ls",
    "data prepare",
    "data import",
    "data ls",
]


@pytest.fixture
def run(root, tmp_path):
    def call(*arguments, check=None, columns=120, **kwargs):
        done = subprocess.run(
            [sys.executable, "-m", "orchestrator", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            cwd=root,
            env={**os.environ, "ROSETTA_CACHE": str(tmp_path / "cache"), "COLUMNS": str(columns), "NO_COLOR": "1"},
            **kwargs,
        )
        assert "Traceback" not in done.stderr, done.stderr
        if check is not None:
            assert done.returncode == check, done.stderr + done.stdout
        return done

    return call


@pytest.mark.parametrize("verb", VERBS)
def test_help_is_in_our_words_and_fits_80_columns(run, verb):
    # The name `python -m orchestrator` has 15 characters more than `rosetta`.
    shown = run(*verb.split(), "--help", check=0, columns=95).stdout
    assert not re.search(r"<[\w\[\]]+>|\[OPTIONS\].*\{", shown)  # <bool>, <list[str]>, {RESULT}
    assert max(map(len, shown.splitlines())) <= 95
    examples = re.search(r"Examples:\s*\n(.*?)\n\s*\n", shown, re.DOTALL)[1]
    assert all(line.startswith(("   python -m orchestrator ", "       --")) for line in examples.splitlines()), examples


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_an_example_in_its_help(run, verb):
    assert f"orchestrator {verb}" in re.sub(r"\s+", " ", run(*verb.split(), "--help", check=0).stdout)


def test_exit_codes_are_documented(run):
    assert "130 interrupted" in re.sub(r"\s+", " ", run("--help", check=0).stdout)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["bench", "nope.yaml"], 2, "there is no spec file nope.yaml"),
        (
            ["bench", "--framework", "pytroch"],
            2,
            "--framework pytroch: no framework is called 'pytroch'; did you mean 'pytorch'?",
        ),
        (
            ["bench", "--workload", "cmm"],
            2,
            "--workload cmm: no workload is called 'cmm'; there are: cnn, gpt, resnet50, rnn",
        ),
        (["bench", "--set", "cnn.epochs"], 2, "--set cnn.epochs: not of the form KEY=VALUE"),
        (["bench", "--set", "cnn.epochs=0"], 2, "--set cnn.epochs=0: must be 1 or more"),
        (["bench", "--python", "numpy"], 2, "--python numpy: not of the form IMAGE=PATH"),
        (["bench", "--python", "nunpy=/x"], 2, "no image is called 'nunpy'; did you mean 'numpy'?"),
        (["bench", "--budget", "30m"], 2, "a budget limits `repeats: auto`, and nothing else"),
        (["bench", "--resume", "nope"], 2, "there is no run 'nope'"),
        (["report", "nope"], 2, "there is no run 'nope'"),
        (
            ["compare", "nope", "nope", "--results", "nowhere"],
            2,
            "no run or result file 'nope', and no runs under nowhere/",
        ),
        (["reproduce", "nope.json"], 2, "there is no file nope.json"),
        (["reproduce", "README.md"], 8, "README.md: not written by this program"),
        (["reproduce", "README.md", "--repeats", "1"], 2, "--repeats 1: must be a whole number from 2 to 100"),
        (["compare", "README.md", "numpy"], 8, "README.md: not written by this program"),
        (["compare", "a", "b", "--fail-on-slower", "5"], 2, "--fail-on-slower 5: not a percentage"),
        (["data", "import", "cifar10", "nowhere"], 2, "there is no file or folder nowhere"),
        (["images", "build", "nunpy"], 2, "did you mean 'numpy'?"),
        (["frobnicate"], 2, "orchestrator has no command 'frobnicate'"),
    ],
)
def test_a_mistake_gets_one_clear_error_and_its_own_exit_code(run, arguments, code, message):
    done = run(*arguments, check=code)
    assert message in re.sub(r"\s+", " ", done.stderr)


def test_list_for_people_and_for_programs(run):
    assert "NumPy" in run("list", check=0).stdout
    rows = json.loads(run("list", "--json", check=0).stdout)
    numpy = next(row for row in rows if row["framework"] == "numpy")
    assert numpy["workloads"] == ["cnn", "rnn", "resnet50", "gpt"]


def test_a_dry_run_shows_the_jobs_and_writes_nothing(run, tmp_path):
    results = tmp_path / "results"
    done = run(
        "bench",
        "configs/quick.yaml",
        "--framework",
        "numpy",
        "--engine",
        "process",
        "--dry-run",
        "--results",
        results,
        check=0,
    )
    assert "4 jobs with the process engine" in done.stdout
    assert "numpy-cnn-cpu-1" in done.stdout
    assert not results.exists()


SMALL = [
    "--framework",
    "numpy",
    "--workload",
    "resnet50",
    "--engine",
    "process",
    "--set",
    "resnet50.batch=1",
    "--set",
    "resnet50.batches=1",
]


@pytest.mark.slow
def test_a_run_from_spec_to_tables(run, tmp_path):
    """Real workload, this Python as its environment: run, report in every form, resume with nothing missing."""
    results = tmp_path / "results"
    done = run(
        "bench", "configs/smoke.yaml", *SMALL, "--python", f"numpy={sys.executable}", "--results", results, check=0
    )
    assert "Inference with ResNet-50" in done.stdout
    (folder,) = results.iterdir()
    written = json.loads((folder / "numpy-resnet50-cpu-1.json").read_text())
    assert written["status"] == "ok"
    assert written["figures"]["images_per_s"] > 0
    assert written["provenance"]["code"]["workloads_sha256"]
    for form, marker in (
        ("table", "Images/s CPU"),
        ("markdown", "| DL Library |"),
        ("csv", "numpy-resnet50-cpu-1,"),
        ("json", '"schema_version": 1'),
        ("html", "<!doctype html>"),
    ):
        target = tmp_path / f"report.{form}"
        run("report", "--results", results, "--format", form, "-o", target, check=0)
        assert marker in target.read_text()
    again = run("bench", "--resume", folder.name, "--results", results, "--python", f"numpy={sys.executable}", check=0)
    assert "0 jobs" in again.stderr
    assert "NumPy" in again.stdout


def test_the_html_report_is_shown_or_says_where_it_is(run, root, tmp_path, monkeypatch):
    folder = published.unpack(tmp_path / "results")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    done = run("report", "--open", "--results", folder.parent, check=0)
    assert f"{folder.name}/report.html" in done.stdout.replace("\n", "")
    assert (folder / "report.html").read_text().startswith("<!doctype html>")
    if sys.platform == "linux":
        assert "there is no browser here" in done.stderr
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >{tmp_path}/shown\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    done = run("report", "--open", "--results", folder.parent, "-o", tmp_path / "page.html", check=0)
    assert (tmp_path / "shown").read_text().strip() == (tmp_path / "page.html").as_uri()
    assert "no browser" not in done.stderr
    both = run("report", folder, folder, "--format", "html", check=2)
    assert "name it with -o FILE" in both.stderr
    assert "leave --format out" in run("report", "--open", "--format", "csv", check=2).stderr
    nowhere = run("report", folder, "--format", "html", "-o", "/proc/nowhere/report.html", check=8)
    assert "cannot be written" in nowhere.stderr


@pytest.mark.slow
def test_a_capsule_reproduces_elsewhere_or_says_why_it_cannot(run, tmp_path):
    python = ["--python", f"numpy={sys.executable}"]
    results, capsule = tmp_path / "results", tmp_path / "capsule.json"
    run("bench", "configs/smoke.yaml", *SMALL, *python, "--results", results, check=0)
    run("report", "--results", results, "--capsule", capsule, check=0)
    shutil.rmtree(results)
    # On a machine that tests share, one image may take any time: which word it is is not the claim here.
    done = run("reproduce", capsule, *python, "--repeats", "2", "--results", results, "--json")
    (verdict,) = json.loads(done.stdout)["jobs"]
    codes = {"REPRODUCED": 0, "SLOWER": 1, "FASTER": 1, "CANNOT": 4}
    assert done.returncode == codes[verdict["word"]], done.stdout + done.stderr
    assert (verdict["job"], len(verdict["here"])) == ("numpy-resnet50-cpu-1", 2)
    assert (results / verdict["run"] / "numpy-resnet50-cpu-2.json").is_file()
    # With the interpreter of the lock instead of the given one, it would be another environment.
    done = run("reproduce", capsule, check=4)
    assert "CANNOT numpy-resnet50-cpu-1: the environment differs" in done.stdout


@pytest.mark.slow
def test_a_comparison_for_people_and_for_programs(run, tmp_path):
    for name, seconds in (("1", 100.0), ("2", 120.0)):
        folder = run_folder.RunFolder(tmp_path / name)
        folder.path.mkdir()
        results = [trained("numpy", seconds + step, repeat=step) for step in range(1, 6)]
        jobs = tuple(result.job for result in results)
        folder.write_run(
            run_folder.Run(id=name, began=run_folder.now(), command=(), engine="docker", spec=Spec(name="t"), jobs=jobs)
        )
        for result in results:
            folder.write_result(result)
    done = run("compare", "1", "2", "--results", tmp_path, check=0)
    assert "slower" in done.stdout
    done = run("compare", "1", "2", "--results", tmp_path, "--fail-on-slower", "30%", "--json", check=0)
    assert json.loads(done.stdout)["cells"][0]["slower_than_limit"] is False
    done = run("compare", "1", "2", "--results", tmp_path, "--fail-on-slower", "5%", check=1)
    assert "numpy" not in done.stderr
    assert "more than 5 % slower: cnn\n" in done.stdout
    run("compare", "2", "1", "--results", tmp_path, "--fail-on-slower", "5%", check=0)
    done = run("compare", "1", "1", "--results", tmp_path, check=0)
    assert "A and B have the same results" in done.stderr


@pytest.mark.slow
def test_a_failed_job_ends_with_code_1_and_says_why(run, tmp_path):
    done = run(
        "bench",
        "configs/smoke.yaml",
        *SMALL,
        "--python",
        f"numpy={sys.executable}",
        "--results",
        tmp_path / "r",
        "--set",
        "limits.timeout=0.05",
        check=1,
    )
    assert "numpy-resnet50-cpu-1 timeout: stopped at its time limit of 0.05 s" in done.stdout


@pytest.mark.slow
def test_a_training_that_learns_nothing_is_marked_not_hidden(run, tmp_path):
    """A real training on the user's own data, whose labels mean nothing: ten classes, one right answer in ten."""
    data = tmp_path / "data"
    data.mkdir()
    draws = np.random.default_rng(1)
    for part, count in (("train", 128), ("test", 200)):
        np.save(data / f"x_{part}.npy", draws.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8))
        np.save(data / f"y_{part}.npy", draws.integers(0, 10, count))
    spec = tmp_path / "sure.yaml"
    spec.write_text("name: sure\nworkloads: [cnn]\ncnn: {epochs: 1, batch: 64, accuracy: [0.5, 0.99]}\n")
    run("data", "import", "cifar10", data, check=0)
    command = ["bench", spec, "--framework", "numpy", "--engine", "process", "--dataset", "imported"]
    done = run(*command, "--python", f"numpy={sys.executable}", "--results", tmp_path / "r", check=0)
    assert re.search(r"NumPy: accuracy of \d+\.\d % is not within the expected 50 to 99 %", done.stdout)
    assert re.search(r"\d+\.\d !", done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_how_to_go_on_and_does(run, root, tmp_path, number):
    results = tmp_path / "results"
    command = [sys.executable, "-m", "orchestrator", "bench", "configs/smoke.yaml", *SMALL, "--repeats", "2"]
    command += ["--set", "resnet50.batches=12", "--python", f"numpy={sys.executable}", "--results", str(results)]
    child = subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "ROSETTA_CACHE": str(tmp_path / "cache"), "COLUMNS": "200"},
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list(results.glob("*/*.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    child.send_signal(number)
    _, stderr = child.communicate(timeout=60)
    assert child.returncode == 130, stderr
    (folder,) = results.iterdir()
    assert f"go on with: rosetta bench --resume {folder.name}" in stderr
    stopped = json.loads((folder / "numpy-resnet50-cpu-1.json").read_text())
    assert (stopped["status"], stopped["attempt"]) == ("interrupted", 1)
    run("bench", "--resume", folder.name, "--results", results, "--python", f"numpy={sys.executable}", check=0)
    finished = [json.loads((folder / f"numpy-resnet50-cpu-{n}.json").read_text()) for n in (1, 2)]
    assert [(result["status"], result["attempt"]) for result in finished] == [("ok", 2), ("ok", 1)]
    assert (folder / "numpy-resnet50-cpu-1.attempt-1.jsonl").exists()


def test_a_result_edited_by_hand_is_left_out_of_the_report_and_reported(run, root, tmp_path):
    results = tmp_path / "results"
    edited = published.unpack(results) / "numpy-resnet50-cpu-1.json"
    edited.write_text(edited.read_text().replace('"status": "ok"', '"status": "OK"'))
    done = run("report", "--results", results, check=8)
    assert "numpy-resnet50-cpu-1.json: not written by this program, or edited" in done.stderr
    assert "Inference with ResNet-50" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_an_open_number_of_repeats_ends_with_the_budget_and_says_so(run, tmp_path):
    results = tmp_path / "results"
    python = ["--python", f"numpy={sys.executable}"]
    done = run("bench", "configs/smoke.yaml", *SMALL, *python, "--repeats", "auto", "--budget", "1s", "--results", results, check=0)  # fmt: skip
    assert "no further round: the budget is spent" in re.sub(r"\s+", " ", done.stderr)
    (folder,) = results.iterdir()
    assert json.loads((folder / "run.json").read_text())["ended"].startswith("the budget is spent")
    assert "no further round: the budget is spent" in (folder / "orchestrator.log").read_text()
    done = run("bench", "--framework", "numpy", "--repeats", "sometimes", "--results", results, check=2)
    assert "--repeats sometimes: must be auto, or a whole number from 1 to 10,000" in re.sub(r"\s+", " ", done.stderr)
