"""The workload code that results were measured with. It is shown only if its fingerprint is the recorded one."""

from __future__ import annotations

import hashlib
import re
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from orchestrator.plan.jobs import Job
from orchestrator.plan.workloads import WORKLOADS
from orchestrator.record import fingerprint
from orchestrator.record.results import Result

Tree = Mapping[str, bytes]  # path from the root of the checkout → content
_COMMIT = re.compile(r"[0-9a-f]{40}")
_MENTION = re.compile(rb"\bworkloads\.([a-z][a-z0-9_]*)")


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """A file of the workload code that was measured."""

    id: str
    path: str
    sha256: str
    text: str


def trees(root: Path, results: Iterable[Result]) -> dict[str, Tree]:
    """The workload code that this checkout or its git history has, for the fingerprints that `results` record."""
    codes = (result.provenance.code for result in results)
    commits = {code.workloads_sha256: code.git_commit for code in codes if code.workloads_sha256 is not None}
    found: dict[str, Tree] = {}
    here = fingerprint.read(root)
    present = fingerprint.sha256_of_sources(here)
    for sha256, commit in commits.items():
        if sha256 == present:
            found[sha256] = _below_workloads(here)
        elif commit is not None and _COMMIT.fullmatch(commit):
            found |= _committed(root, commit, sha256)
    return found


def of_job(job: Job, tree: Tree) -> tuple[SourceFile, ...]:
    """The files of `tree` that a job uses, its workload file first. Pure."""
    own = sorted(path for path in tree if _parts(path)[:2] == ("workloads", job.module) and _serves(path, job))
    own.sort(key=lambda path: PurePosixPath(path).stem != job.workload)
    suffixes = {PurePosixPath(path).suffix for path in own[:1]}
    mentioned = {match.decode() for path in own for match in _MENTION.findall(tree[path])} - {job.module} | {"common"}
    others = sorted(
        path
        for path in tree
        if _parts(path)[1] in mentioned
        and PurePosixPath(path).stem not in WORKLOADS
        and PurePosixPath(path).suffix in suffixes
    )
    return tuple(_source(path, tree[path]) for path in own + others if tree[path].strip())


def _source(path: str, content: bytes) -> SourceFile:
    digest = hashlib.sha256(content).hexdigest()
    place = hashlib.sha256(path.encode()).hexdigest()
    return SourceFile(
        id=f"source-{place[:8]}-{digest[:16]}", path=path, sha256=digest, text=content.decode("utf-8", "replace")
    )


def _serves(path: str, job: Job) -> bool:
    """Whether a file does not belong to another workload."""
    return PurePosixPath(path).stem == job.workload or PurePosixPath(path).stem not in WORKLOADS


def _parts(path: str) -> tuple[str, ...]:
    return PurePosixPath(path).parts


def _below_workloads(sources: Mapping[str, bytes]) -> Tree:
    """The same files with their paths in a checkout."""
    return {f"workloads/{path}": content for path, content in sources.items()}


def _committed(root: Path, commit: str, sha256: str) -> dict[str, Tree]:
    """The tree with this fingerprint from git's history, if this is a git checkout that has the commit."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            archive = subprocess.run(
                ["git", "-C", str(root), "archive", commit, "workloads"], capture_output=True, timeout=30, check=True
            )
            subprocess.run(["tar", "-x", "-C", scratch], input=archive.stdout, timeout=30, check=True)
            there = fingerprint.read(Path(scratch))
            if fingerprint.sha256_of_sources(there) == sha256:
                return {sha256: _below_workloads(there)}
        except (OSError, subprocess.SubprocessError):
            pass  # no git, or an unknown commit: the page shows that this code is not available
    return {}
