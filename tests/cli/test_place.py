"""Which checkout a call uses, and where its results go."""

import subprocess
import sys
from pathlib import Path

import pytest

import orchestrator
from orchestrator.cli import place
from orchestrator.errors import UsageError


@pytest.fixture
def checkout(tmp_path):
    root = tmp_path / "checkout"
    for name in ("images/numpy", "workloads/common", "configs"):
        (root / name).mkdir(parents=True)
    return root


@pytest.mark.parametrize("below", ["", "images", "images/numpy"])
def test_inside_a_checkout_it_is_used_with_its_results(checkout, below):
    found = place.find(None, checkout / below)
    assert found == place.Place(root=checkout, results=checkout / "results", is_checkout=True)


def test_a_named_checkout_is_used_before_the_one_around_the_current_folder(checkout, root):
    found = place.find(checkout, root)
    assert (found.root, found.results) == (checkout, checkout / "results")


def test_elsewhere_results_go_to_the_current_folder(tmp_path):
    found = place.find(None, tmp_path)
    assert found.results == Path("results")
    assert found.root == Path(orchestrator.__file__).resolve().parents[1]


def test_a_folder_without_the_parts_of_a_checkout_is_refused(checkout, tmp_path):
    (checkout / "configs").rmdir()
    with pytest.raises(UsageError, match="no checkout of this program"):
        place.find(checkout, tmp_path)


def call(*arguments, cwd, **variables):
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", *arguments], capture_output=True, text=True, check=False, cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "HOME": str(cwd), "NO_COLOR": "1", **variables},
    )  # fmt: skip


def test_root_and_its_variable_name_a_checkout(root, tmp_path):
    for done in (
        call("--root", root, "report", "x", cwd=tmp_path),
        call("report", "x", cwd=tmp_path, ROSETTA_ROOT=str(root)),
    ):
        assert f"no run 'x' in {root / 'results'}/" in done.stderr
    wrong = call("list", cwd=tmp_path, ROSETTA_ROOT=str(tmp_path))
    assert wrong.returncode == 2
    assert f"ROSETTA_ROOT={tmp_path}: no checkout of this program" in wrong.stderr


def test_a_hint_names_the_specs_where_they_are(root, tmp_path):
    (tmp_path / "empty.yaml").touch()
    for typed, name in ((["empty.yaml"], "*.yaml"), (["smoke", "--set", "cnn.epochs=0"], "README.md")):
        assert f"{root}/configs/{name}" in call("bench", *typed, cwd=tmp_path).stderr
        assert (
            f" configs/{name}"
            in call("bench", str(tmp_path / typed[0]) if name == "*.yaml" else typed[0], *typed[1:], cwd=root).stderr
        )


def test_results_can_be_named_like_the_default(root):
    """In a checkout `--results results` is the folder of that name below the current one."""
    done = call("report", "--results", "results", cwd=root / "configs")
    assert "no runs under results/" in done.stderr


@pytest.mark.parametrize("arguments", [["-h"], ["images", "ls", "-h"]])
def test_short_help_is_help(tmp_path, arguments):
    done = call(*arguments, cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout == call(*arguments[:-1], "--help", cwd=tmp_path).stdout


def test_version(tmp_path):
    done = call("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"rosetta {orchestrator.__version__}\n")
