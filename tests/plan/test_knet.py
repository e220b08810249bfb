"""The Knet image, which cannot be built here: its files agree with each other."""

import re
import sys

import pytest

from orchestrator.plan import catalog

if sys.version_info < (3, 11):
    pytest.skip("tomllib is new in Python 3.11", allow_module_level=True)
import tomllib


@pytest.fixture(scope="module")
def image(root):
    (found,) = (image for image in catalog.load(root).images if image.name == "knet")
    return found


@pytest.fixture(scope="module")
def project(image):
    return tomllib.loads((image.folder / "Project.toml").read_text())


@pytest.fixture(scope="module")
def manifest(image):
    return tomllib.loads((image.folder / "Manifest.toml").read_text())


def test_the_lock_is_the_manifest_in_both_variants(image):
    assert {path.name for path in image.locks.values()} == {"Manifest.toml"}
    assert set(image.locks) == {"cpu", "cuda"}


def test_the_manifest_has_what_the_project_asks_for(project, manifest):
    for name, uuid in project["deps"].items():
        (package,) = manifest["deps"][name]
        assert package["uuid"] == uuid
        assert project["compat"][name] == f"={package['version']}"


def test_julia_is_the_one_that_resolved_them(image, project, manifest):
    version = manifest["julia_version"]
    assert project["compat"]["julia"] == f"={version}"
    assert re.match(rf"julia:{re.escape(version)}-bullseye@sha256:[0-9a-f]{{64}}$", image.base)


def test_every_package_is_pinned_by_hash_or_comes_with_julia(manifest):
    """A package without a hash has no version of its own, or one that Julia's own release decides."""
    names = manifest["deps"].keys()
    with_julia = set()
    for name, (package,) in manifest["deps"].items():
        assert set(package.get("deps", [])) <= names, name
        if "git-tree-sha1" in package:
            assert re.fullmatch(r"[0-9a-f]{40}", package["git-tree-sha1"]), name
            assert re.fullmatch(r"\d+\.\d+\.\d+(\+\d+)?", package["version"]), name
        else:
            with_julia.add(name)
    assert {"LinearAlgebra", "Random", "Libdl", "Pkg"} <= with_julia
    for name in with_julia:  # Julia's own packages need no others
        assert set(manifest["deps"][name][0].get("deps", [])) <= with_julia


def test_the_framework_has_the_version_of_the_manifest(image, manifest):
    (framework,) = image.frameworks
    assert framework.version == manifest["deps"]["Knet"][0]["version"]
