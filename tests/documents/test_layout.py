"""The layout of the tests: their folders mirror the packages, and what they share lies in tests/support/."""

import ast
import graphlib

import pytest

# Folders that mirror no package of orchestrator/.
OTHERS = {
    "base": "modules directly under orchestrator/",
    "benchmarks": "what `make benchmark` and `make peers` run",
    "browser": "the HTML report in a real browser",
    "data": "files written by earlier versions",
    "docker": "whole runs in real containers",
    "documents": "README, docs/ and the promises in them",
    "echo": "a project with one small workload",
    "golden": "event streams that every language must write",
    "gpu": "what to run on a machine with a GPU that is there for minutes",
    "gpu_machine": "an image that looks like a machine with a GPU",
    "julia": "an image with Julia",
    "ray": "whole runs on a cluster",
    "support": "what several test modules share",
    "workloads": "the workloads themselves",
}


def imported(path):
    """The names of the modules of tests/ that a file imports, with all their parents."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are absolute"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] == "tests"}


def test_every_folder_mirrors_a_package_or_has_its_reason(root):
    packages = {path.parent.name for path in (root / "orchestrator").glob("*/__init__.py")}
    files = [path.relative_to(root / "tests") for path in (root / "tests").rglob("*") if path.is_file()]
    folders = {path.parts[0] for path in files if len(path.parts) > 1 and "__pycache__" not in path.parts}
    assert not packages & OTHERS.keys()
    assert folders <= packages | OTHERS.keys()
    assert len(folders & packages) > 5


def test_no_module_imports_a_test_module_or_a_conftest(root):
    files = sorted((root / "tests").rglob("*.py"))
    assert len(files) > 50
    wrong = {
        str(path.relative_to(root)): name
        for path in files
        for name in imported(path)
        if any(part.startswith("test_") or part == "conftest" for part in name.split("."))
    }
    assert not wrong


def test_support_modules_import_only_each_other_and_never_in_a_circle(root):
    paths = {f"tests.support.{path.stem}": path for path in (root / "tests" / "support").glob("[!_]*.py")}
    assert paths
    uses = {name: imported(path) - {"tests.support"} for name, path in paths.items()}
    assert {
        name: sorted(found)
        for name, found in uses.items()
        if any(not each.startswith("tests.support.") for each in found)
    } == {}
    modules = {name: found & paths.keys() for name, found in uses.items()}
    assert any(modules.values())
    try:
        graphlib.TopologicalSorter(modules).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"these import each other: {error.args[1]}")
