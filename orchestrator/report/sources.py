"""The workload code a result was measured with, shown only when its fingerprint is the recorded one."""

from __future__ import annotations

import hashlib
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from orchestrator.files import sha256_of_tree
from orchestrator.plan.jobs import Job
from orchestrator.plan.workloads import WORKLOADS
from orchestrator.record.results import Result

Tree = Mapping[str, bytes]  # path from the root of the checkout → content
_COMMIT = re.compile(r"[0-9a-f]{40}")
_MENTION = re.compile(rb"\bworkloads\.([a-z][a-z0-9_]*)")


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """A file of workload code as it was measured."""

    id: str
    path: str
    sha256: str
    text: str


def trees(root: Path, results: Iterable[Result]) -> dict[str, Tree]:
    """The workloads/ of every fingerprint that `results` record and this checkout, or its history, still has."""
    commits = {str(code["workloads_sha256"]): code.get("git_commit") for code in map(_code, results) if code}
    found: dict[str, Tree] = {}
    present = sha256_of_tree(root / "workloads")
    for fingerprint, commit in commits.items():
        if fingerprint == present:
            found[fingerprint] = _read(root)
        elif isinstance(commit, str) and _COMMIT.fullmatch(commit):
            found |= _committed(root, commit, fingerprint)
    return found


def of_job(job: Job, tree: Tree) -> tuple[SourceFile, ...]:
    """The files of `tree` a job's code is made of, its own first. Pure."""
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


def of_results(results: Iterable[Result], trees: Mapping[str, Tree]) -> Iterator[SourceFile]:
    """The code of all jobs in `results`, as far as `trees` holds it. Pure."""
    different = {
        (str(_code(each).get("workloads_sha256")), each.job.module, each.job.workload): each for each in results
    }
    for (fingerprint, _, _), result in different.items():
        if fingerprint in trees:
            yield from of_job(result.job, trees[fingerprint])


def _source(path: str, content: bytes) -> SourceFile:
    digest = hashlib.sha256(content).hexdigest()
    place = hashlib.sha256(path.encode()).hexdigest()
    return SourceFile(
        id=f"source-{place[:8]}-{digest[:16]}", path=path, sha256=digest, text=content.decode("utf-8", "replace")
    )


def _serves(path: str, job: Job) -> bool:
    """Whether a file is not another workload's."""
    return PurePosixPath(path).stem == job.workload or PurePosixPath(path).stem not in WORKLOADS


def _parts(path: str) -> tuple[str, ...]:
    return PurePosixPath(path).parts


def _code(result: Result) -> Mapping[str, Any]:
    code = result.provenance.code
    return code if isinstance(code.get("workloads_sha256"), str) else {}


def _read(root: Path) -> Tree:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in (root / "workloads").rglob("*")
        if path.is_file() and not path.is_symlink() and "__pycache__" not in path.parts
    }


def _committed(root: Path, commit: str, fingerprint: str) -> dict[str, Tree]:
    """The same from git's history, where this is a git checkout that has the commit."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            archive = subprocess.run(
                ["git", "-C", str(root), "archive", commit, "workloads"], capture_output=True, timeout=30, check=True
            )
            subprocess.run(["tar", "-x", "-C", scratch], input=archive.stdout, timeout=30, check=True)
            if sha256_of_tree(Path(scratch) / "workloads") == fingerprint:
                return {fingerprint: _read(Path(scratch))}
        except (OSError, subprocess.SubprocessError):
            pass  # no git, or a commit it does not have: the page says that this code is not at hand
    return {}
