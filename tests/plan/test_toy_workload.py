"""A workload is one declaration: a new one goes through every verb, and no other file of orchestrator/ changes."""

import csv
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys

import numpy
import pytest

from tests.plan import toy_workload as toy

ADDED = ("plan/workloads/toy.py", "inputs/datasets/eights.py")
PYTHON = ".".join(platform.python_version_tuple()[:2])


@pytest.fixture(scope="module")
def tree(root, tmp_path_factory):
    """A checkout with the toy workload in the reference and in one more framework."""
    place = tmp_path_factory.mktemp("toy")
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(root / "orchestrator", place / "orchestrator", ignore=ignore)
    for name in ("common", "mistakes", "numpy"):
        shutil.copytree(root / "workloads" / name, place / "workloads" / name, ignore=ignore)
    shutil.copy(root / "workloads" / "__init__.py", place / "workloads")
    for framework, title in (("numpy", "NumPy"), ("plain", "Plain")):
        write(place / "images" / framework / "Dockerfile", dockerfile(framework, title))
        lock = f"numpy=={numpy.__version__} --hash=sha256:{'0' * 64}\n"
        write(place / "images" / framework / "requirements-cpu.txt", lock)
        write(place / "workloads" / framework / "toy.py", toy.WORKLOAD.format(extra="", update=toy.UPDATE))
    write(place / "workloads" / "plain" / "__init__.py", "")
    write(place / "workloads" / "mistakes" / "toy.py", toy.MISTAKES)
    write(place / "orchestrator" / ADDED[0], toy.DECLARATION)
    write(place / "orchestrator" / ADDED[1], toy.DATASET)
    write(place / "configs" / "toy.yaml", toy.SPEC)
    write(place / "results" / "reference" / "toy.json", toy.REFERENCE)
    return place


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def dockerfile(name, title):
    return toy.DOCKERFILE.format(python=PYTHON, name=name, title=title, version=numpy.__version__)


def orchestrator(tree, *arguments, check=0):
    """The output of a verb in the tree."""
    variables = {**os.environ, "PYTHONPATH": str(tree), "ROSETTA_CACHE": str(tree / "cache"), "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", *map(str, arguments)],
        cwd=tree, env=variables, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode in (check if isinstance(check, tuple) else (check,)), done.stdout + done.stderr
    return done.stdout


PYTHONS = [f"--python={name}={sys.executable}" for name in ("numpy", "plain")]


@pytest.fixture(scope="module")
def run(tree):
    """The folder of a run of both frameworks."""
    orchestrator(tree, "bench", "configs/toy.yaml", *PYTHONS)
    (folder,) = (tree / "results").glob("*-toy")
    return folder


def test_nothing_else_of_the_program_changed(root, tree, run):
    def program(folder):
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        return {name: path.read_bytes() for name, path in files.items() if name not in ADDED and path.suffix != ".pyc"}

    assert program(tree / "orchestrator") == program(root / "orchestrator")


def test_it_runs_and_its_score_is_a_loss(run):
    for framework in ("numpy", "plain"):
        figures = json.loads((run / f"{framework}-toy-cpu-1.json").read_text())["figures"]
        assert figures["accuracy"] is None
        assert 0 < figures["test_loss"] < numpy.log(3)  # it has learned something
        assert [epoch["test_loss"] for epoch in figures["epochs"]] == [None, None, figures["test_loss"]]


def test_tables_show_the_loss_beside_the_published_one(tree, run):
    shown = orchestrator(tree, "report", run.name, "--format", "markdown")
    assert "### Training a toy: softmax regression" in shown
    assert "| DL Library | Training time (s) | Points/s | Test loss (nats) | Then (nats) | Then (s) |" in shown
    assert re.search(r"\| Plain \| [\d.]+(?: !)? \| [\d,]+(?: !)? \| 0\.\d{3} \| 0\.750 \| 3 \|", shown), shown
    assert "SYNTHETIC DATA" in shown
    assert "Training a toy" in orchestrator(tree, "report", run.name)


def test_other_forms_have_it(tree, run):
    rows = list(csv.DictReader(io.StringIO(orchestrator(tree, "report", run.name, "--format", "csv"))))
    assert {row["workload"] for row in rows} == {"toy"}
    assert all(0 < float(row["test_loss"]) < 2 for row in rows)
    document = json.loads(orchestrator(tree, "report", run.name, "--format", "json"))
    assert document["tables"][0]["columns"][3] == "Test loss (nats)"
    orchestrator(tree, "report", run.name, "--format", "html", "-o", tree / "page.html")
    page = (tree / "page.html").read_text(encoding="utf-8")
    assert "Test loss against training time" in page
    assert "Down and to the left is better." in page


def test_the_expected_range_follows_the_score(tree, run):
    """Real data is needed for a range to apply; here the arrays are imported."""
    for seed, (split, count) in enumerate((("train", 400), ("test", 60))):
        x = numpy.random.default_rng(seed).integers(0, 100, (count, 8), dtype=numpy.int32)
        write(tree / "arrays" / "readme", "")
        numpy.save(tree / "arrays" / f"x_{split}.npy", x)
        numpy.save(tree / "arrays" / f"y_{split}.npy", x[:, :3].argmax(axis=1))
    orchestrator(tree, "data", "import", "eights", tree / "arrays")
    options = ["configs/toy.yaml", "--framework", "plain", "--dataset", "imported", "--set", "toy.loss=[0.01, 0.02]"]
    shown = orchestrator(tree, "bench", *options, *PYTHONS)
    assert re.search(r"loss of 0\.\d{3} nats is not within the expected 0.01 to 0.02 nats", shown), shown


def test_it_is_verified_and_a_mistake_in_it_is_named(tree):
    cells = json.loads(orchestrator(tree, "verify", "--workload", "toy", *PYTHONS, "--json"))["cells"]
    assert [(cell["framework"], cell["word"]) for cell in cells] == [("numpy", "certified"), ("plain", "certified")]
    path = tree / "workloads" / "plain" / "toy.py"
    right = path.read_text()
    path.write_text(right.replace("RATE = 1.0", "RATE = 2.0"))
    try:
        arguments = ["verify", "plain", "--workload", "toy", *PYTHONS, "--json"]
        (cell,) = json.loads(orchestrator(tree, *arguments, check=1))["cells"]
    finally:
        path.write_text(right)
    assert (cell["word"], cell["culprits"]) == ("diverges", ["rate-doubled"])


def test_it_is_checked(tree):
    shown = orchestrator(tree, "check", "plain", *PYTHONS)
    assert "plain conforms" in shown
    for question in ("toy runs", "toy parity", "toy repeats", "toy notices a loss"):
        assert question in shown


def test_it_is_compared(tree, run):
    shown = json.loads(orchestrator(tree, "compare", f"{run.name}:numpy", f"{run.name}:plain", "--json"))
    (cell,) = shown["cells"]
    assert cell["workload"] == "toy"
    assert cell["a"]["test_loss"] == pytest.approx(cell["b"]["test_loss"], rel=1e-4)


def test_it_is_reproduced(tree, run):
    result = run / "plain-toy-cpu-1.json"
    shown = orchestrator(
        tree, "reproduce", result, "--repeats", "2", "--python", f"plain={sys.executable}", check=(0, 1, 4)
    )
    assert re.match(r"(REPRODUCED|SLOWER|FASTER|CANNOT plain-toy-cpu-1: too noisy)", shown), shown
    assert re.search(r"test loss 0\.\d+ stored, 0\.\d+ here", shown), shown
