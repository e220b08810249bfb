"""Which code produced a figure: fingerprint of the workloads, git commit, version of this program."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import orchestrator
from orchestrator.files import sha256_of_tree


def facts(root: Path) -> dict[str, Any]:
    """For a result's provenance. `git_commit` and `git_dirty` are None outside a git checkout."""
    commit = _git(root, "rev-parse", "HEAD")
    status = _git(root, "status", "--porcelain", "--", "workloads", "orchestrator", "images")
    return {
        "version": orchestrator.__version__,
        "workloads_sha256": sha256_of_tree(root / "workloads"),
        "git_commit": commit,
        "git_dirty": None if status is None or commit is None else bool(status),
    }


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
