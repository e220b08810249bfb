"""A file from somebody else that would cost much: computed, refused or asked before anything is spent."""

import os
import pty
import re
import subprocess
import sys

import pytest

from orchestrator.cli import app
from orchestrator.plan.spec import Spec
from orchestrator.record import capsule
from orchestrator.record.figures import EpochFigure
from orchestrator.record.run_folder import Run
from orchestrator.run import cost, preparation
from orchestrator.sealed import dump
from tests.support.results import result

DAY = 86_400.0


@pytest.fixture
def environment(tmp_path):
    return {**os.environ, "ROSETTA_CACHE": str(tmp_path / "cache"), "COLUMNS": "200", "NO_COLOR": "1"}


@pytest.fixture
def run(root, environment):
    """Runs the command line without a terminal; checks its exit code, and returns what it printed."""

    def call(*arguments, code):
        done = subprocess.run(
            [sys.executable, "-m", "orchestrator", *map(str, arguments)],
            cwd=root, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    return call


@pytest.fixture
def stored(tmp_path):
    """Writes a file of somebody else, and returns the command that reproduces it as far as this checkout allows."""

    def write(workload="resnet50", *, seconds=10.0, whole=False, **settings):
        default = Spec(name="x").settings_of(workload).for_device("cpu")
        found = result("numpy", workload, engine="process", source="synthetic", images_per_s=20.0)
        if workload == "cnn":
            default.pop("accuracy")
            found = result("numpy", "cnn", engine="process", source="synthetic", train_s=9.0, accuracy=0.7)
            epochs = [EpochFigure(samples=64, seconds=4.5, loss=1.0)] * 2
            figures = found.figures.model_copy(update={"test_samples": 10_000, "epochs": tuple(epochs)})
            found = found.model_copy(update={"figures": figures})
        job = found.job.model_copy(update={"settings": {**default, **settings}})
        found = found.model_copy(update={"job": job, "seconds": seconds})
        path = tmp_path / "stranger.json"
        if whole:
            spec = Spec(name="x")
            of_run = Run(
                id="20260101-000000-x", began=found.began, command=(), engine="process", spec=spec, jobs=(job,)
            )
            capsule.write(path, [capsule.Kept(run=of_run, results=(found,))])
        else:
            path.write_bytes(dump(found))
        python = f"numpy={sys.executable}"
        return ["reproduce", path, "--allow-different-code", "--python", python, "--results", tmp_path / "results"]

    return write


def nothing_was_made(tmp_path):
    made = [path for folder in ("cache", "results") for path in (tmp_path / folder).rglob("*") if path.is_file()]
    return not made


@pytest.mark.parametrize("whole", [False, True], ids=["result", "capsule"])
def test_images_for_which_no_memory_is_enough_are_refused_before_they_are_made(run, stored, tmp_path, whole):
    said = run(*stored(batch=4096, batches=1000, whole=whole), "--yes", code=9)
    assert "error: the images of resnet50 need 2,466.3 GB of memory, and a job can have at most " in said
    assert nothing_was_made(tmp_path)


def test_a_batch_order_for_which_no_disk_is_enough_is_refused(run, stored, tmp_path):
    said = run(*stored("cnn", epochs=10**6, train_samples=10**6), "--yes", code=9)
    assert f"error: the inputs need 4,000.2 GB in {tmp_path}/cache, which has " in said
    assert nothing_was_made(tmp_path)


def test_a_million_epochs_are_not_begun_without_a_terminal(run, stored, tmp_path):
    """Few samples: the order is small, but two epochs took nine seconds, and each job is repeated three times."""
    said = run(*stored("cnn", epochs=10**6, train_samples=64, seconds=10.0), code=9)
    assert f"error: this needs about 455 MB in {tmp_path}/cache and 3,750 h, and there is no terminal to ask at" in said
    assert "→ add --yes to go on" in said
    assert nothing_was_made(tmp_path)


def test_with_yes_it_goes_on_without_a_question(run, stored, tmp_path):
    said = run(*stored(batch=1, batches=1, seconds=DAY), "--yes", code=4)
    assert "CANNOT numpy-resnet50-cpu-1: the data differ" in said  # known once they are made
    assert not nothing_was_made(tmp_path)


def test_what_is_little_is_not_asked(run, stored):
    assert "Go on?" not in run(*stored(batch=1, batches=1), code=4)


@pytest.fixture
def terminal(root, environment):
    """Answers the question of a command at a terminal of its own; returns its exit code and what was printed."""

    def call(arguments, answer):
        child, terminal = pty.fork()
        if child == 0:
            os.chdir(root)
            argv = [sys.executable, "-m", "orchestrator", *map(str, arguments)]
            os.execve(sys.executable, argv, environment)  # noqa: S606
        said, answered = b"", False
        while part := read(terminal):
            said += part
            if b"[y/N]" in said and not answered:
                answered = True
                os.write(terminal, answer)
        os.close(terminal)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said.decode().replace("\r\n", "\n")

    return call


def read(terminal):
    try:
        return os.read(terminal, 1000)
    except OSError:  # how a pseudo-terminal of Linux ends
        return b""


@pytest.mark.parametrize(
    ("answer", "code", "then"),
    [
        (b"y\n", 4, "the data differ by their fingerprint"),
        (b"n\n", 9, "nothing was started"),
        (b"\n", 9, "nothing was started"),
        (b"\x04", 130, "interrupted"),
    ],
)
def test_at_a_terminal_it_is_asked(terminal, stored, tmp_path, answer, code, then):
    found, said = terminal(stored(batch=1, batches=1, seconds=DAY), answer)
    assert f"This needs about 95 MB in {tmp_path}/cache and 72 h 0 min. Go on? [y/N]" in said
    assert then in said
    assert found == code
    assert nothing_was_made(tmp_path) == (code != 4)


def test_a_spec_that_cannot_fit_is_refused(run, tmp_path):
    path = tmp_path / "big.yaml"
    path.write_text("name: big\nframeworks: [numpy]\nworkloads: [resnet50]\nresnet50: {batch: 4096, batches: 1000}\n")
    options = ["--engine", "process", "--results", tmp_path / "results"]
    said = run("bench", path, *options, code=9)
    assert "error: the images of resnet50 need 2,466.3 GB of memory" in said
    assert "the inputs need about 2,466.3 GB" in run("bench", path, *options, "--dry-run", code=0)
    assert nothing_was_made(tmp_path)


def test_a_spec_of_absurd_numbers_is_no_spec(run, tmp_path):
    for setting in (
        "resnet50.batches=1000000000",
        "resnet50.batch=1000000",
        "cnn.epochs=1000000000",
        "cnn.batch=1e400",
    ):
        run("bench", "configs/smoke.yaml", "--set", setting, "--dry-run", "--results", tmp_path / "results", code=2)


@pytest.fixture
def call(root, tmp_path, monkeypatch, capfd):
    """Runs the command line in this process, on a machine that has disk and memory for everything, but runs nothing."""
    monkeypatch.chdir(root)
    monkeypatch.setenv("ROSETTA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(cost, "room", lambda *_: cost.Room(disk=10**15, memory=10**15))
    monkeypatch.setattr(preparation, "run", lambda *_: pytest.fail("it was run") if refused else [])
    refused = False

    def invoke(*arguments, code):
        nonlocal refused
        refused = code != 0
        monkeypatch.setattr(sys, "argv", ["rosetta", *arguments, "--results", str(tmp_path / "results")])
        found = 0
        try:
            app.main()
        except SystemExit as end:
            found = end.code
        said = capfd.readouterr().err
        assert found == code, said
        return said

    return invoke


def test_the_users_own_spec_is_not_asked_about_but_a_run_that_is_resumed_is(call, tmp_path):
    """The run folder may be somebody else's. Its batch order has 8 GB."""
    spec = tmp_path / "long.yaml"
    spec.write_text("name: long\nframeworks: [numpy]\nworkloads: [cnn]\ncnn: {epochs: 200000, train_samples: 10000}\n")
    said = call("bench", str(spec), "--engine", "process", "--dataset", "synthetic", code=0)
    assert "the inputs need about 8.2 GB in " in said
    (folder,) = (tmp_path / "results").iterdir()

    said = call("bench", "--resume", folder.name, code=9)
    assert "error: this needs about 8.2 GB in " in said
    assert "→ add --yes to go on" in said
    call("bench", "--resume", folder.name, "--yes", code=0)
    assert not (tmp_path / "cache" / "orders").exists()


def test_the_time_that_a_resumed_run_takes_is_asked_about(call, tmp_path):
    """It has no result yet. A published file has the rate of the same framework and workload."""
    spec = tmp_path / "long.yaml"
    spec.write_text("name: long\nframeworks: [numpy]\nworkloads: [cnn]\ncnn: {epochs: 2000, train_samples: 10000}\n")
    call("bench", str(spec), "--engine", "process", "--dataset", "synthetic", code=0)
    (folder,) = (tmp_path / "results").iterdir()
    said = call("bench", "--resume", folder.name, code=9)
    assert re.search(r"error: this needs about \d+ MB in \S+ and \d+ h( \d+ min)?, and there is no terminal", said)
    call("bench", "--resume", folder.name, "--yes", code=0)
