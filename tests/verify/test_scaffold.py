"""`rosetta new` and `rosetta check`: a framework that is not in the tree comes in, step by step.

It is NumPy under another name: so all that a person would write is at hand, and everything runs on this Python.
"""

import ast
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.errors import UsageError
from orchestrator.plan import catalog
from orchestrator.verify import remaining, scaffold
from tests import golden

CHOICE = scaffold.NewFramework(framework="other-np", title="Other", packages=("numpy==2.4.6",), python="3.11")
PROMISED = {
    "images/other-np/Dockerfile",
    "images/other-np/requirements-cpu.in",
    *(
        f"workloads/other_np/{name}.py" for name in ("__init__", "runtime", "cnn", "rnn", "resnet50")
    ),  # there is a template of these
    "tests/docker/test_other_np.py",
}


@pytest.fixture(scope="module")
def known(root):
    return catalog.load(root)


def test_what_is_written_is_read_back_as_a_framework(tmp_path, known):
    texts = scaffold.files(CHOICE, known)
    assert {str(path) for path in texts} == PROMISED
    scaffold.write(tmp_path, texts)
    framework, image = catalog.load(tmp_path).frameworks["other-np"]
    assert (framework.title, framework.version, framework.module) == ("Other", "2.4.6", "other_np")
    assert framework.workloads == ("cnn", "rnn", "resnet50")
    assert (image.python, image.base) == ("3.11", known.frameworks["numpy"][1].base)
    assert (tmp_path / "images/other-np/requirements-cpu.in").read_text() == "numpy==2.4.6\n"
    for path in tmp_path.rglob("*.py"):
        ast.parse(path.read_text(), feature_version=(3, 6))


def test_nothing_is_overwritten(tmp_path, known):
    texts = scaffold.files(CHOICE, known)
    existing = tmp_path / "workloads/other_np/rnn.py"
    existing.parent.mkdir(parents=True)
    existing.write_text("mine")
    with pytest.raises(UsageError, match=r"rnn\.py exists already"):
        scaffold.write(tmp_path, texts)
    assert existing.read_text() == "mine"
    assert not (tmp_path / "images").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"framework": "Other"}, "not a valid name"),
        ({"framework": "../x"}, "not a valid name"),
        ({"framework": "pytorch"}, "pytorch exists already"),
        ({"framework": "theano"}, "theano exists already"),  # an image has that name
        ({"python": "2.7"}, "no image here has Python 2.7"),
        ({"packages": ()}, "no package is named"),
        ({"packages": ("numpy",)}, "not of the form NAME==VERSION"),
        ({"packages": ("numpy==1\nRUN x",)}, "not of the form NAME==VERSION"),
        ({"module": "not-a-name"}, "not a name that Python can import"),
        ({"base": "debian"}, "--base is for a framework that is not Python"),
        ({"title": 'a" b="c'}, "not allowed in a Dockerfile's label"),
        ({"title": "a\nb"}, "not allowed in a Dockerfile's label"),
    ],
)
def test_a_choice_that_cannot_be(known, change, message):
    with pytest.raises(UsageError, match=message):
        scaffold.files(scaffold.NewFramework(**{**vars(CHOICE), **change}), known)


def test_what_is_imported_may_have_another_name_than_the_package(known):
    choice = scaffold.NewFramework(
        framework="sklearn", title="Learn", packages=("scikit-learn==1.7.2",), module="sklearn"
    )
    texts = {str(path): text for path, text in scaffold.files(choice, known).items()}
    assert texts["images/sklearn/requirements-cpu.in"] == "scikit-learn==1.7.2\n"
    runtime = texts["workloads/sklearn/runtime.py"]
    assert "import sklearn\n" in runtime
    assert "version=sklearn.__version__" in runtime
    assert "scikit" not in runtime
    assert 'rosetta.framework.sklearn.version="1.7.2"' in texts["images/sklearn/Dockerfile"]


FOREIGN = scaffold.NewFramework(
    framework="ort-node",
    title="ONNX Runtime (Node.js)",
    packages=("onnxruntime-node==1.20.1", "onnx==1.17.0"),
    command="node workloads/{module}/{workload}.js",
)


@pytest.mark.parametrize("suffix", ["js", "cpp", "rs"])
def test_a_framework_that_is_not_python_is_read_back(tmp_path, known, suffix):
    command = f"run workloads/{{module}}/{{workload}}.{suffix}"
    scaffold.write(tmp_path, scaffold.files(dataclasses.replace(FOREIGN, command=command), known))
    framework, image = catalog.load(tmp_path).frameworks["ort-node"]
    assert (framework.version, framework.workloads) == ("1.20.1", ("resnet50",))
    assert (image.python, image.command) == (None, command)
    assert image.locks["cpu"].read_text() == "onnxruntime-node==1.20.1\nonnx==1.17.0\n"
    assert (tmp_path / f"workloads/ort_node/resnet50.{suffix}").is_file()
    assert (tmp_path / "images/ort-node/compile-and-run").is_file() == (suffix == "cpp")


def test_a_foreign_framework_can_choose_its_base(known):
    base = f"node:22-bookworm-slim@sha256:{'a' * 64}"
    (dockerfile, *_) = scaffold.files(dataclasses.replace(FOREIGN, base=base), known).values()
    assert f"ARG BASE_IMAGE={base}\n" in dockerfile


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"command": "node resnet50.js"}, "names no workload"),
        ({"command": "node workloads/ort_node/resnet50.js"}, "names no workload"),
        ({"command": 'node "workloads/{module}/{workload}.js"'}, "names no workload"),
        ({"base": "node:22"}, "not of the form IMAGE:TAG@sha256:DIGEST"),
        ({"python": "3.11"}, "for a framework that is not Python"),
        ({"module": "ort"}, "for a framework that is not Python"),
        ({"packages": ()}, "no package is named"),
    ],
)
def test_a_foreign_choice_that_cannot_be(known, change, message):
    with pytest.raises(UsageError, match=message):
        scaffold.files(dataclasses.replace(FOREIGN, **change), known)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_the_first_version_in_node_speaks_the_protocol(root, known, tmp_path):
    """It announces itself, and then says that its network is not built."""
    scaffold.write(tmp_path, scaffold.files(FOREIGN, known))
    shutil.copytree(root / "workloads" / "common_js", tmp_path / "workloads" / "common_js")
    golden.write_inputs(tmp_path)
    (tmp_path / "spec.json").write_text(json.dumps({**golden.JOB, "workload": "resnet50", "settings": {"batch": 2}}))
    variables = {**os.environ, "BENCH_SPEC": str(tmp_path / "spec.json"), "BENCH_INPUTS": str(tmp_path)}
    done = subprocess.run(
        ["node", "workloads/ort_node/resnet50.js"], cwd=tmp_path, env=variables, capture_output=True, check=False
    )
    start, error = (json.loads(line) for line in done.stdout.splitlines())
    assert (done.returncode, start["event"], start["version"]) == (1, "start", "1.20.1")
    assert (error["kind"], error["message"][:30]) == ("unsupported", "workloads/ort_node/resnet50.js")


def test_what_is_left_to_do_is_found_in_the_checkout(root, known):
    """Everything is done for NumPy; nothing but the files for a framework that has just been written."""
    framework, image = known.frameworks["numpy"]
    left = list(remaining.steps(root, framework, image))
    assert left == [
        "tests/docker/test_numpy.py: what is special about NumPy",
        "a CUDA build, if NumPy has one (CONTRIBUTING.md, Add a framework)",
    ]
    new = dataclasses.replace(framework, id="new", title="Something New", module="new", workloads=("cnn",))
    left = "\n".join(remaining.steps(root, new, image))
    for place in ("rnn, resnet50", "tests/docker/test_new.py", "`new`", "CHANGELOG.md: a line about Something New"):
        assert place in left


@pytest.fixture(scope="module")
def checkout(root, tmp_path_factory):
    """A copy of this checkout, in which a framework was begun, with NumPy's lock."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("orchestrator", "workloads", "images", "configs", "ci"):
        shutil.copytree(root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("cnn", "rnn"):  # less is enough to be asked, and to be wrong
        edit(
            copy / "orchestrator" / "plan" / "workloads" / f"{name}.py",
            '"batch": 32, "test_samples": 48',
            '"batch": 8, "test_samples": 12',
        )
    (copy / "ci" / "lock.sh").write_text("#!/bin/sh\ncp images/numpy/requirements-cpu.txt images/$1/\n")
    done = orchestrator(copy, "new", "other-np", "--package", "numpy==2.4.6")
    assert done.returncode == 0, done.stderr
    assert set(map(str.strip, done.stdout.splitlines())) >= PROMISED
    assert "rosetta check other-np --workload resnet50" in done.stdout
    return copy


def orchestrator(copy, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", *arguments], cwd=copy, capture_output=True, text=True, timeout=500,
        check=False,
    )  # fmt: skip


def check(copy):
    """The findings that are not ok: what was asked → the answer; and the exit code."""
    options = ("--engine", "process", "--python", f"other-np={sys.executable}", "--json")
    done = orchestrator(copy, "check", "other-np", *options)
    assert done.stdout, done.stderr
    findings = json.loads(done.stdout)["findings"]
    assert len(findings) >= 9
    return {each["question"]: each for each in findings if not each["ok"]}, done.returncode


def fill_in(copy):
    for name in ("cnn", "rnn", "resnet50", "layers", "runtime"):
        text = (copy / "workloads" / "numpy" / f"{name}.py").read_text()
        (copy / "workloads" / "other_np" / f"{name}.py").write_text(
            text.replace("workloads.numpy", "workloads.other_np")
        )


@pytest.mark.slow
def test_a_framework_that_was_only_begun_is_reported_what_to_write(checkout):
    wrong, code = check(checkout)
    assert code == 1
    assert set(wrong) == {"cnn runs", "rnn runs", "resnet50 runs"}
    assert "workloads/other_np/rnn.py: build the network" in wrong["rnn runs"]["answer"]


@pytest.mark.slow
def test_a_framework_that_was_written_conforms(checkout):
    fill_in(checkout)
    assert check(checkout) == ({}, 0)


@pytest.mark.slow
def test_what_is_wrong_is_named(checkout):
    """A device that is not waited for, a label that lies, a loose lock, a reset gate in the wrong place."""
    fill_in(checkout)
    workloads, image = checkout / "workloads" / "other_np", checkout / "images" / "other-np"
    edit(
        workloads / "cnn.py", "from workloads", "from concurrent.futures import ThreadPoolExecutor\n\nfrom workloads", 1
    )
    edit(workloads / "cnn.py", "epoch.step(train_step(x, y))", "epoch.step(device.submit(train_step, x, y).result)")
    edit(workloads / "cnn.py", "return forward(without_dropout,", "return device.submit(forward, without_dropout,")
    edit(workloads / "cnn.py", "copy=False))\n\n    job.ready()", "copy=False)).result()\n\n    job.ready()")
    edit(workloads / "cnn.py", "    dtype = runtime", "    device = ThreadPoolExecutor(1)\n    dtype = runtime")
    edit(workloads / "rnn.py", "v / (1 - self.beta2**self.t)", "v")
    edit(workloads / "runtime.py", "if job.precision not in DTYPES", "if False")
    edit(workloads / "runtime.py", "DTYPES[job.precision]", 'DTYPES.get(job.precision, "float32")')
    edit(image / "Dockerfile", 'version="2.4.6"', 'version="2.4.5"')
    (image / "requirements-cpu.txt").write_text("numpy==2.4.6\n")
    wrong, code = check(checkout)
    assert code == 1
    assert set(wrong) == {
        "cpu lock", "cnn versions", "rnn versions", "resnet50 versions", "cnn clock", "rnn parity",
        "resnet50 refuses what it cannot do",
    }  # fmt: skip
    assert "`sync` has to wait" in wrong["cnn clock"]["advice"]


def edit(path: Path, old, new, count=-1):
    text = path.read_text()
    assert old in text, f"{path.name} has no {old!r} any more"
    path.write_text(text.replace(old, new, count))
