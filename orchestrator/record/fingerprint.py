"""Which code produced a figure: fingerprints of the workloads, git commit, version of this program."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orchestrator
from orchestrator.files import sha256_of, sha256_of_tree
from orchestrator.record import imports

WHOLE = "workloads_sha256"  # of all that is below workloads/
OF_MODULES = "modules_sha256"  # folder of a framework → the next; in facts of a checkout only
PARTS = "parts_sha256"  # what the framework's code is made of: a folder, or a file, below workloads/ → its sha256


def facts(root: Path) -> dict[str, Any]:
    """What is known of the checkout at `root`. `git_commit` and `git_dirty` are None outside a git checkout."""
    commit = _git(root, "rev-parse", "HEAD")
    status = _git(root, "status", "--porcelain", "--", "workloads", "orchestrator", "images")
    return {
        "version": orchestrator.__version__,
        WHOLE: sha256_of_tree(root / "workloads"),
        OF_MODULES: _modules(root / "workloads"),
        "git_commit": commit,
        "git_dirty": None if status is None or commit is None else bool(status),
    }


def of_module(known: Mapping[str, Any], module: str) -> dict[str, Any]:
    """The facts of a checkout, as the provenance of a job of one framework has them."""
    told = {key: value for key, value in known.items() if key != OF_MODULES}
    parts = known.get(OF_MODULES, {}).get(module)
    return told if parts is None else {**told, PARTS: parts}


def parts(told: Mapping[str, Any]) -> dict[str, str] | None:
    """What the code of a provenance is made of, with the sha256; None of one from before that was recorded."""
    found = told.get(PARTS)
    return {str(name): str(digest) for name, digest in found.items()} if isinstance(found, Mapping) else None


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """What of the workload code differs between the provenances of two jobs of a framework; empty where nothing does.

    Where one is from before parts were recorded, only the sha256 of all workloads together can be compared, and that is
    another as soon as any framework's code is. So it is where the code is made of other parts now.
    """
    one, other = parts(there), parts(here)
    if one is not None and other is not None and one.keys() == other.keys():
        return [f"workloads/{name}" for name in sorted(one) if one[name] != other[name]]
    return [] if there.get(WHOLE) == here.get(WHOLE) else ["workloads/, compared as a whole"]


def mixed(told: Sequence[Mapping[str, Any]]) -> list[str]:
    """What of the workload code is not the same in all of these provenances, of any frameworks."""
    known = [parts(each) for each in told]
    only_whole = None in known
    digests: dict[str, set[str]] = {}
    for each, own in zip(told, known, strict=True):
        whole = {"": str(each.get(WHOLE))}
        for name, digest in (whole if only_whole or own is None else own).items():
            digests.setdefault(name, set()).add(digest)
    return sorted(f"workloads/{name}" for name, found in digests.items() if len(found) > 1)


def _modules(workloads: Path) -> dict[str, dict[str, str]]:
    """Of each folder below workloads/: what its code is made of, with the sha256."""
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
