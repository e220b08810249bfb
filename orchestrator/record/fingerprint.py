"""Fingerprints of the workload code: which code produced a result, and what differs between two results."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

import orchestrator
from orchestrator.files import sha256_of, sha256_of_tree
from orchestrator.record import imports
from orchestrator.record.provenance import CodeFacts
from orchestrator.strict import Strict


class Checkout(Strict):
    """The code of one checkout."""

    code: CodeFacts  # without parts, which are those of one framework
    modules: dict[str, dict[str, str]]  # folder of a framework → part of workloads/ that it uses → sha256


def inspect(root: Path) -> Checkout:
    """Hash the workloads of the checkout at `root`. Commit and dirty flag are None outside a git checkout."""
    commit = _git(root, "rev-parse", "HEAD")
    status = _git(root, "status", "--porcelain", "--", "workloads", "orchestrator", "images")
    code = CodeFacts(
        version=orchestrator.__version__,
        workloads_sha256=sha256_of_tree(root / "workloads"),
        git_commit=commit,
        git_dirty=None if status is None or commit is None else bool(status),
    )
    return Checkout(code=code, modules=_modules(root / "workloads"))


def of_module(checkout: Checkout, module: str) -> CodeFacts:
    """The code of a job of one framework, for its provenance."""
    parts = checkout.modules.get(module)
    return checkout.code if parts is None else checkout.code.model_copy(update={"parts_sha256": parts})


def differences(there: CodeFacts, here: CodeFacts) -> list[str]:
    """The parts of the workload code that differ between two jobs of a framework; empty when none does.

    When one of them has no parts recorded (older results), or when the code now consists of other parts, only the
    sha256 of all workloads can be compared. That one changes with the code of any framework.
    """
    one, other = there.parts_sha256, here.parts_sha256
    if one is not None and other is not None and one.keys() == other.keys():
        return [f"workloads/{name}" for name in sorted(one) if one[name] != other[name]]
    return [] if there.workloads_sha256 == here.workloads_sha256 else ["workloads/, compared as a whole"]


def mixed(codes: Iterable[CodeFacts]) -> list[str]:
    """The parts of the workload code that are not the same in all of these jobs, of any frameworks."""
    codes = list(codes)
    only_whole = any(code.parts_sha256 is None for code in codes)
    digests: dict[str, set[str]] = {}
    for code in codes:
        whole = {"": str(code.workloads_sha256)}
        parts = whole if only_whole or code.parts_sha256 is None else code.parts_sha256
        for name, digest in parts.items():
            digests.setdefault(name, set()).add(digest)
    return sorted(f"workloads/{name}" for name, found in digests.items() if len(found) > 1)


def _modules(workloads: Path) -> dict[str, dict[str, str]]:
    """For each folder below workloads/: the parts that its code uses, with their sha256."""
    paths = [path for path in workloads.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    files = {path.relative_to(workloads).as_posix(): path.read_text("utf-8", "replace") for path in paths}
    there = sorted({name.partition("/")[0] for name in files})
    hashes = {name: _sha256(workloads / name) for name in there}
    modules = [name for name in there if (workloads / name).is_dir()]
    return {module: {name: hashes[name] for name in sorted(imports.parts_of(module, files))} for module in modules}


def _sha256(path: Path) -> str:
    return sha256_of_tree(path) if path.is_dir() else sha256_of(path)


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
