"""The program installed from a wheel, used in a folder that has nothing to do with it."""

import json
import os
import re
import subprocess

import pytest

from orchestrator.engines.docker import build_inputs, images
from orchestrator.plan import catalog
from orchestrator.record import fingerprint
from tests.support import wheels

pytestmark = pytest.mark.slow
CELL = ["--framework", "numpy", "--workload", "resnet50", "--set", "resnet50.batch=1", "--set", "resnet50.batches=1"]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return wheels.committed_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def binaries(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    return wheels.install(wheels.build(source, folder / "wheel"), folder / "venv")


@pytest.fixture(scope="module")
def bundled(binaries):
    (folder,) = binaries.parent.glob("lib/python*/site-packages/orchestrator/_bundled")
    return folder


@pytest.fixture
def elsewhere(tmp_path):
    """A folder in the repository of another project."""
    subprocess.run([*wheels.GIT, "init", "--quiet"], cwd=tmp_path, check=True)
    (tmp_path / "thesis.tex").touch()
    for arguments in (["add", "thesis.tex"], ["commit", "--quiet", "--message", "thesis"]):
        subprocess.run([*wheels.GIT, *arguments], cwd=tmp_path, check=True)
    folder = tmp_path / "measurements"
    folder.mkdir()
    return folder


@pytest.fixture
def rosetta(binaries, elsewhere, tmp_path):
    def call(*arguments, check=0, name="rosetta", cwd=elsewhere, **more):
        variables = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
        done = subprocess.run(
            [binaries / name, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False, cwd=cwd,
            env=variables | {"ROSETTA_CACHE": str(tmp_path / "cache"), "COLUMNS": "120", "NO_COLOR": "1"} | more,
        )  # fmt: skip
        assert done.returncode == check, done.stderr + done.stdout
        return done

    return call


def files_of(folder):
    return {str(path): path.lstat().st_mtime_ns for path in folder.rglob("*")}


def test_it_has_the_code_and_the_images_of_its_checkout(root, bundled):
    """Also where installing compiled the workloads: compiled files have no part in a fingerprint."""
    assert list(bundled.rglob("*.pyc"))
    here, there = fingerprint.inspect(root), fingerprint.inspect(bundled)
    assert there.modules == here.modules
    assert there.code.workloads_sha256 == here.code.workloads_sha256
    assert tags(bundled) == tags(root)
    for name in ("configs", "results/published", "results/reference"):
        assert contents(bundled / name) == contents(root / name)


def test_a_build_gets_the_same_files_with_the_same_modes(root, bundled, tmp_path):
    pairs = zip(catalog.load(root).images, catalog.load(bundled).images, strict=True)
    for here, there in pairs:
        contexts = tmp_path / here.name / "here", tmp_path / here.name / "there"
        for image, context in zip((here, there), contexts, strict=True):
            context.mkdir(parents=True)
            build_inputs.stage_context(image, "cpu", context, environ={})
        assert contents(contexts[0]) == contents(contexts[1])
        assert modes(contexts[0]) == modes(contexts[1])


def modes(folder):
    return {path.relative_to(folder): path.stat().st_mode for path in folder.rglob("*")}


def tags(folder):
    return [images.tag(image, variant) for image in catalog.load(folder).images for variant in image.locks]


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_runs_and_reports_in_any_folder_and_changes_nothing_of_its_own(
    rosetta, source, elsewhere, binaries, bundled
):
    before = files_of(bundled.parent)
    python = ["--engine", "process", "--python", f"numpy={binaries / 'python'}"]
    done = rosetta("bench", "smoke", *CELL, *python, "--json", "--quiet")
    assert json.loads(done.stdout)["results"][0]["status"] == "ok"
    assert not done.stderr
    (folder,) = (elsewhere / "results").iterdir()
    result = json.loads((folder / "numpy-resnet50-cpu-1.json").read_text())
    code = result["provenance"]["code"]
    assert (code["git_commit"], code["git_dirty"]) == (wheels.commit_of(source), False)
    assert "Inference with ResNet-50" in rosetta("report").stdout
    rosetta("report", "--format", "html", "-o", "report.html", name="orchestrator")
    assert "NumPy" in (elsewhere / "report.html").read_text()
    assert json.loads(rosetta("doctor", "--json").stdout)
    assert sorted(path.name for path in elsewhere.iterdir()) == ["report.html", "results"]
    assert files_of(bundled.parent) == before


def test_it_says_how_long_the_jobs_took_where_they_were_measured(rosetta, binaries):
    python = ["--engine", "process", "--python", f"numpy={binaries / 'python'}"]
    done = rosetta("bench", "quick", "--framework", "numpy", "--workload", "cnn", "--dry-run", *python)
    assert re.search(
        r"its jobs took \d+ min on .+ 2 CPUs \(\d{4}-\d\d-\d\d, results/published/", done.stdout + done.stderr
    )


@pytest.mark.docker
def test_a_container_runs_in_the_image_that_the_checkout_builds(rosetta, root, elsewhere, docker_engine):
    (numpy,) = catalog.load(root).select(["numpy"])
    rosetta("bench", "smoke", *CELL, "--engine", "docker")
    (folder,) = (elsewhere / "results").iterdir()
    result = json.loads((folder / "numpy-resnet50-cpu-1.json").read_text())
    assert result["provenance"]["environment"]["tag"] == images.tag(numpy, "cpu")


def test_what_needs_a_checkout_says_so(rosetta):
    done = rosetta("new", "myframework", "--package", "myframework==1.0", check=2)
    assert "`new` writes into a checkout of this program, and the current folder is in none" in done.stderr
    assert "git clone" in done.stderr


def test_the_shell_completes_verbs(rosetta):
    """docs/install.md says how to set it up."""
    assert "_ROSETTA_COMPLETE=complete_bash" in rosetta("--show-completion", "bash").stdout
    completed = rosetta(_ROSETTA_COMPLETE="complete_bash", COMP_WORDS="rosetta be", COMP_CWORD="1")
    assert completed.stdout.split() == ["bench"]


def test_in_a_checkout_it_uses_that_one(rosetta, source, elsewhere):
    inside = rosetta("report", check=8, cwd=source / "images")
    assert f"no runs under {source / 'results'}/" in re.sub(r"\n", "", inside.stderr)
    assert str(source) in rosetta("--root", source, "report", check=8).stderr
    assert "no runs under results/" in rosetta("report", check=8).stderr
