"""The ledger of expensive checks: what invalidates an entry, what does not, and how pytest uses it."""

import os
import shutil
import subprocess
import sys
import threading

import pytest

from tests.support import checks
from tests.support.cells import CELLS
from tests.support.ledger import COMMITTED, Check, Fingerprints, Ledger, read

TREE = ("orchestrator", "workloads", "images", "configs", "ci", "tests", "requirements.txt", "requirements-dev.txt")
EVERY_CELL = (
    "orchestrator/strict.py", "orchestrator/files.py", "orchestrator/host/machine.py", "orchestrator/plan/spec.py",
    "orchestrator/record/results.py", "orchestrator/inputs/weights.py", "orchestrator/engines/base.py",
    "orchestrator/engines/docker/engine.py", "orchestrator/run/runner.py", "workloads/__init__.py",
    "workloads/common/bench.py", "workloads/numpy/cnn.py", "workloads/pytorch/cnn.py", "images/numpy/Dockerfile",
    "images/pytorch/Dockerfile", "images/pytorch/requirements-cpu.txt", "requirements.txt", "tests/support/cells.py",
)  # fmt: skip
CASES = {
    "cell": (
        lambda root: checks.cell("pytorch", "cnn", root=root),
        (*EVERY_CELL, "configs/smoke.yaml", "tests/docker/test_cells.py"),
        ("workloads/jax/cnn.py", "images/jax/Dockerfile", "images/pytorch/requirements-cuda.txt", "configs/quick.yaml",
         "orchestrator/judge/parity.py", "orchestrator/report/tables.py", "tests/docker/test_verify.py"),
    ),
    "verify": (
        lambda root: checks.verify("pytorch", "cnn", root=root),
        (*EVERY_CELL, "orchestrator/verify/verifier.py", "tests/docker/test_verify.py", "orchestrator/judge/parity.py",
         "orchestrator/verify/reference.py", "orchestrator/engines/process/engine.py"),
        ("workloads/jax/cnn.py", "images/jax/Dockerfile", "configs/smoke.yaml", "orchestrator/report/tables.py"),
    ),
    "cell of a framework that is no sentinel": (
        lambda root: checks.cell("jax", "resnet50", root=root),
        ("workloads/jax/resnet50.py", "workloads/common/bench.py", "workloads/numpy/resnet50.py",
         "images/jax/requirements-cpu.txt", "orchestrator/plan/workloads/resnet50.py", "orchestrator/inputs/weights.py",
         "orchestrator/engines/docker/engine.py", "orchestrator/run/host_clock.py", "configs/smoke.yaml"),
        ("orchestrator/run/runner.py", "orchestrator/files.py", "workloads/pytorch/cnn.py"),
    ),
    "verify of a framework that is no sentinel": (
        lambda root: checks.verify("jax", "cnn", root=root),
        ("workloads/jax/cnn.py", "workloads/mistakes/cnn.py", "orchestrator/judge/parity.py",
         "orchestrator/verify/verifier.py", "orchestrator/record/figures.py", "tests/docker/test_verify.py"),
        ("orchestrator/run/runner.py", "orchestrator/verify/conformance.py", "configs/smoke.yaml"),
    ),
    "a framework that uses another's code": (
        lambda root: checks.cell("lasagne", "cnn", root=root),
        ("workloads/lasagne/cnn.py", "workloads/theano/runtime.py", "images/theano/requirements-cpu.txt"),
        ("workloads/jax/cnn.py", "images/pytorch/Dockerfile"),
    ),
    "cuda": (
        lambda root: checks.cuda("pytorch", root=root),
        ("images/pytorch/Dockerfile", "images/pytorch/requirements-cuda.txt", "workloads/pytorch/cnn.py",
         "workloads/pytorch/runtime.py", "workloads/common/cuda.py", "orchestrator/engines/docker/images.py", "tests/docker/test_cuda.py",
         "tests/docker/cuda_inside.py"),
        ("images/pytorch/requirements-cpu.txt", "images/jax/requirements-cuda.txt", "workloads/chainer/cnn.py",
         "workloads/common/bench.py", "workloads/numpy/cnn.py", "workloads/pytorch/rnn.py",
         "orchestrator/run/runner.py"),
    ),
    "cluster": (
        lambda root: checks.cluster("tests/ray/test_faults.py", root=root),
        ("orchestrator/engines/ray/cluster.py", "orchestrator/engines/process/engine.py", "orchestrator/run/crew.py",
         "tests/ray/test_faults.py", "tests/ray/conftest.py", "tests/support/engine_cases.py", "requirements-dev.txt"),
        ("tests/ray/test_nodes.py", "workloads/pytorch/cnn.py", "orchestrator/report/tables.py"),
    ),
    "engine": (
        lambda root: checks.engine("docker engine", "tests/docker/test_docker_engine.py"),
        ("orchestrator/engines/docker/engine.py", "orchestrator/engines/pump.py", "orchestrator/run/runner.py",
         "tests/echo/workloads/echo/resnet50.py", "tests/docker/test_docker_engine.py"),
        ("workloads/pytorch/cnn.py", "tests/docker/test_cells.py"),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def tree(root, tmp_path_factory):
    """A copy of the checkout, which each test leaves as it was."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in TREE:
        if (root / name).is_dir():
            shutil.copytree(root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(root / name, copy / name)
    return copy


def edited(tree, path, change, check):
    """The hash of a check while the content of a file is changed."""
    content = path.read_bytes()
    try:
        path.write_bytes(change(content))
        return Fingerprints(tree).of(check(tree))
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize(("check", "inputs", "others"), CASES.values(), ids=CASES)
def test_an_edit_of_an_input_and_of_nothing_else_changes_the_hash(tree, check, inputs, others):
    before = Fingerprints(tree).of(check(tree))
    found = {path: edited(tree, tree / path, lambda text: text + b"\n# new\n", check) for path in inputs + others}
    assert [path for path, now in found.items() if now == before] == list(others)
    assert Fingerprints(tree).of(check(tree)) == before


@pytest.mark.parametrize(("check", "inputs", "others"), CASES.values(), ids=CASES)
def test_line_ends_times_and_compiled_files_do_not_count(tree, check, inputs, others):
    before = Fingerprints(tree).of(check(tree))
    path = tree / inputs[0]
    assert edited(tree, path, lambda text: text.replace(b"\n", b"\r\n"), check) == before
    os.utime(path, (0, 0))
    path.chmod(0o600)
    cache = path.parent / "__pycache__" / "x.pyc"
    cache.parent.mkdir()
    cache.write_bytes(b"compiled")
    assert Fingerprints(tree).of(check(tree)) == before
    shutil.rmtree(cache.parent)


@pytest.mark.parametrize("name", ["orchestrator/run/new.py", "workloads/pytorch/new.py", "images/pytorch/new.patch"])
def test_a_new_file_counts(tree, name):
    before = Fingerprints(tree).of(checks.cell("pytorch", "cnn", root=tree))
    (tree / name).write_text("")
    try:
        assert Fingerprints(tree).of(checks.cell("pytorch", "cnn", root=tree)) != before
    finally:
        (tree / name).unlink()


def test_an_input_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no file matches 'gone'"):
        Fingerprints(tmp_path).of(Check(name="c", inputs=("gone",)))


def test_a_fact_counts(tree):
    one, other = (Check(name="c", inputs=("ci",), facts=(fact,)) for fact in ("a", "b"))
    assert Fingerprints(tree).of(one) != Fingerprints(tree).of(other)


def test_one_small_check_of_docker_and_one_of_ray_always_run(root):
    """The process engine has no expensive checks: its tests run every time."""
    cells = [checks.cell(*each) for each in CELLS]
    clusters = [
        checks.cluster(path.relative_to(root).as_posix()) for path in (root / "tests" / "ray").glob("test_*.py")
    ]
    assert [check.name for check in cells if check.always] == ["cell numpy-cnn"]
    assert [check.name for check in clusters if check.always] == ["ray local"]


CHECK = Check(name="cell a-b", inputs=())


def test_an_entry_is_of_one_check_one_cpu_and_one_hash(tmp_path):
    ledger = Ledger(tmp_path / "ledger.json", tmp_path / "local", "CPU X")
    date = ledger.record(CHECK, "1234")
    for place in ("local", "elsewhere"):  # first without the committed file, then with nothing else
        here = Ledger(tmp_path / "ledger.json", tmp_path / place, "CPU X")
        assert here.passed(CHECK, "1234") == date
        assert here.passed(CHECK, "5678") is None
        assert here.passed(Check(name="cell a-c", inputs=()), "1234") is None
        assert Ledger(tmp_path / "ledger.json", tmp_path / place, "CPU Y").passed(CHECK, "1234") is None
        ledger.commit(CHECK, "1234", date)


def test_where_the_cpu_does_not_matter_an_entry_counts_on_all_of_them(tmp_path):
    check = Check(name="cuda a", inputs=(), any_cpu=True)
    here, there = (Ledger(tmp_path / "ledger.json", tmp_path / "local", cpu) for cpu in ("CPU X", "CPU Y"))
    date = here.record(check, "1234")
    assert there.passed(check, "1234") == date
    here.commit(check, "1234", date)
    assert Ledger(tmp_path / "ledger.json", tmp_path / "elsewhere", "CPU Y").passed(check, "1234") == date
    assert there.passed(check, "5678") is None


def test_the_committed_file_has_a_sorted_line_for_each_check_and_cpu(tmp_path):
    path = tmp_path / "ledger.json"
    for cpu, name, fingerprint in (("Y", "b", "1"), ("X", "b", "2"), ("X", "a", "3"), ("X", "a", "4")):
        Ledger(path, tmp_path, cpu).commit(Check(name=name, inputs=()), fingerprint, "2026-01-01")
    assert path.read_text() == (
        '{\n"a | X": {"date": "2026-01-01", "hash": "4"},\n"b | X": {"date": "2026-01-01", "hash": "2"},\n'
        '"b | Y": {"date": "2026-01-01", "hash": "1"}\n}\n'
    )


def test_writers_at_once_lose_nothing(tmp_path):
    def write(number):
        ledger = Ledger(tmp_path / "ledger.json", tmp_path / "local", "X")
        for round_ in range(5):
            check = Check(name=f"{number} {round_}", inputs=())
            ledger.commit(check, "1", ledger.record(check, "1"))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read(tmp_path / "ledger.json")) == 30


def test_the_ledger_of_this_checkout_can_be_read(root):
    for entry in read(root / COMMITTED).values():
        assert entry.keys() == {"date", "hash"}


PROJECT = """
import pytest
from pathlib import Path
from tests.support.ledger import Check

FOLDER = Path(__file__).parent
FIRST = Check(name="first", inputs=("first.txt",))
ALWAYS = Check(name="always", inputs=("first.txt",), always=True)
TWO = Check(name="two", inputs=("second.txt",))
RARE = Check(name="rare", inputs=("second.txt",), rare=True)

@pytest.fixture
def costly():
    with (FOLDER / "ran").open("a") as file:
        file.write("x")

@pytest.mark.check(FIRST)
def test_first(costly): assert (FOLDER / "first.txt").read_text() != "wrong"

@pytest.mark.check(ALWAYS)
def test_always(): pass

@pytest.mark.check(RARE)
def test_rare(): pass

@pytest.mark.check(TWO)
def test_two_a(): pass

@pytest.mark.check(TWO)
def test_two_b():
    text = (FOLDER / "second.txt").read_text()
    if text == "skip":
        pytest.skip("for a reason")
    if text == "edit":
        (FOLDER / "second.txt").write_text("edited meanwhile")
"""


@pytest.fixture
def session(root, tmp_path):
    """A function that runs pytest on a small project, and returns the outcome of each of its tests."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_it.py").write_text(PROJECT)
    for name in ("first", "second"):
        (tmp_path / f"{name}.txt").write_text("right")
    (tmp_path / "ran").write_text("")

    def run(*options, mode="changed"):
        argv = [
            sys.executable,
            "-m",
            "pytest",
            "-v",
            "-p",
            "no:cacheprovider",
            "-rs",
            "-p",
            "tests.support.ledger_plugin",
            *options,
        ]
        environment = {"ROSETTA_CHECKS": mode, "ROSETTA_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(root)}
        environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # starts faster
        done = subprocess.run(
            argv, cwd=tmp_path, capture_output=True, text=True, check=False, env={**os.environ, **environment}
        )
        assert "INTERNALERROR" not in done.stdout + done.stderr, done.stdout
        run.output = done.stdout + done.stderr
        lines = [line.split() for line in done.stdout.splitlines() if line.startswith("test_it.py::")]
        return {line[0].partition("::test_")[2]: line[1].lower() for line in lines}

    return run


PASSED = {"first": "passed", "always": "passed", "rare": "skipped", "two_a": "passed", "two_b": "passed"}
LEFT_OUT = {**PASSED, "first": "skipped", "two_a": "skipped", "two_b": "skipped"}


def test_what_has_passed_is_left_out_until_an_input_changes(session, tmp_path):
    assert session() == PASSED
    assert "checks: 3 of 4 run (ROSETTA_CHECKS=changed)" in session.output
    assert session() == LEFT_OUT
    assert "checks: 1 of 4 run (ROSETTA_CHECKS=changed)" in session.output
    assert "with the same inputs; ROSETTA_CHECKS=all repeats it" in session.output
    assert "takes long; ROSETTA_CHECKS=all runs it" in session.output
    assert (tmp_path / "ran").read_text() == "x"  # its fixture was not used again
    (tmp_path / "first.txt").write_text("other")
    assert session() == {**LEFT_OUT, "first": "passed"}
    (tmp_path / "first.txt").write_text("right")
    assert session() == LEFT_OUT
    assert session(mode="all") == {**PASSED, "rare": "passed"}
    assert session() == LEFT_OUT
    assert set(session(mode="none").values()) == {"skipped"}


def test_what_fails_is_not_recorded(session, tmp_path):
    (tmp_path / "first.txt").write_text("wrong")
    for _ in range(2):
        assert session("--write-ledger")["first"] == "failed"
    assert {key.partition(" |")[0] for key in read(tmp_path / COMMITTED)} == {"always", "two"}


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("skip", ()),
        ("edit", ()),
        ("right", ("-k", "two_a")),
        ("right", ("test_it.py::test_two_a",)),
        ("right", ("--maxfail=1", "--deselect=test_it.py::test_two_b")),
    ],
    ids=["skipped", "edited meanwhile", "chosen by words", "chosen by name", "deselected"],
)
def test_a_check_of_which_a_test_did_not_pass_is_not_recorded(session, tmp_path, text, options):
    (tmp_path / "second.txt").write_text(text)
    assert session("--write-ledger", *options)["two_a"] == "passed"
    assert not any(key.startswith("two |") for key in read(tmp_path / COMMITTED))
    (tmp_path / "second.txt").write_text(text)
    assert session()["two_a"] == "passed"


def test_the_committed_ledger_is_enough(session, tmp_path):
    session("--write-ledger", mode="all")
    shutil.rmtree(tmp_path / "cache")
    assert session() == LEFT_OUT


def test_what_passed_here_before_can_be_written_too(session, tmp_path):
    session()
    assert not (tmp_path / COMMITTED).exists()
    assert session("--write-ledger") == LEFT_OUT
    assert {key.partition(" |")[0] for key in read(tmp_path / COMMITTED)} == {"first", "always", "two"}


def test_another_word_than_these_is_an_error(session):
    assert session(mode="some") == {}
    assert "ROSETTA_CHECKS is 'some'; it takes changed, all, none" in session.output


def test_two_checks_of_one_name_are_an_error(session, tmp_path):
    shutil.copy(tmp_path / "test_it.py", tmp_path / "test_other.py")
    session()
    assert "are called 'first'" in session.output
