"""The workload code of a run: read once, given to jobs as it was then, and named by fingerprints.

A job gets a copy of the parts of workloads/ that its fingerprint covers, and no other file. So a result says exactly
which code ran, also when the checkout is edited during the run. Lines end as on Unix in the copy and in the
fingerprint, however the files were checked out; modes and times do not count.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import orchestrator
from orchestrator import leases
from orchestrator.errors import DiskError
from orchestrator.files import atomic_folder, cache_error
from orchestrator.record import imports
from orchestrator.record.provenance import CodeFacts

BUILD_RECORD = "build.json"  # setup.py writes it beside the files that are installed with the program
Sources = Mapping[str, bytes]  # path below workloads/, with "/" → content


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """The code of one checkout, as it was when it was read."""

    code: CodeFacts  # without parts, which are those of one framework
    modules: Mapping[str, Mapping[str, str]]  # folder of a framework → part of workloads/ that it uses → sha256
    sources: Sources

    def freeze(self, module: str, cache: Path) -> Path:
        """A folder called workloads with the code that a job of `module` uses, and no more. Raises DiskError.

        It lies in `cache` by its content, is checked in every call, and made again where it was changed.
        """
        parts = self.modules.get(module, {imports.part(path): "" for path in self.sources})
        files = {f"workloads/{path}": data for path, data in self.sources.items() if imports.part(path) in parts}
        folder = cache / "code" / sha256_of_sources(files)
        if not _holds(folder, files):
            try:
                with leases.awaited(folder.with_suffix(".lock"), f"the code in {folder}", error=DiskError):
                    _write(folder, files)
            except OSError as error:
                raise cache_error(DiskError, folder, error) from error
        return folder / "workloads"


def read(root: Path) -> dict[str, bytes]:
    """The files below root/workloads, whose lines end as on Unix. Links are left out: they may lead anywhere."""
    workloads = root / "workloads"
    files = (path for path in workloads.rglob("*") if path.is_file() and not path.is_symlink())
    paths = [path for path in files if path.suffix != ".pyc"]
    return {path.relative_to(workloads).as_posix(): _unix(path.read_bytes()) for path in paths}


def sha256_of_sources(sources: Sources) -> str:
    """One SHA-256 over names and contents, as 64 hex digits."""
    digest = hashlib.sha256()
    for name in sorted(sources):
        # NUL cannot occur in a path, so no two different trees give the same byte sequence.
        digest.update(b"\0".join((b"file", os.fsencode(name), _sha256(sources[name]).encode(), b"")))
    return digest.hexdigest()


def inspect(root: Path) -> Checkout:
    """Read the workloads at `root`. Commit and dirty flag are None where no commit is known."""
    sources = read(root)
    commit, is_dirty = _commit(root)
    code = CodeFacts(
        version=orchestrator.__version__,
        workloads_sha256=sha256_of_sources(sources),
        git_commit=commit,
        git_dirty=is_dirty,
    )
    return Checkout(code=code, modules=_modules(sources), sources=sources)


def of_module(checkout: Checkout, module: str) -> CodeFacts:
    """The code of a job of one framework, for its provenance."""
    parts = checkout.modules.get(module)
    return checkout.code if parts is None else checkout.code.model_copy(update={"parts_sha256": dict(parts)})


def differences(there: CodeFacts, here: CodeFacts) -> list[str]:
    """The parts of the workload code that differ between two jobs of a framework; empty when none does.

    When one of them has no parts recorded (older results), or when the code now consists of other parts, only the
    sha256 of all workloads can be compared. That one changes with the code of any framework.
    """
    one, other = there.parts_sha256, here.parts_sha256
    if one is not None and other is not None and one.keys() == other.keys():
        return [f"workloads/{name}" for name in sorted(one) if one[name] != other[name]]
    return [] if there.workloads_sha256 == here.workloads_sha256 else ["workloads/, compared as a whole"]


def mixed(codes: Iterable[tuple[str, CodeFacts]]) -> list[str]:
    """The parts of the workload code that are not the same for all of these frameworks; each comes with its code.

    What differs between jobs of one framework only is not listed.
    """
    codes = list(codes)
    only_whole = any(code.parts_sha256 is None for _, code in codes)
    digests: dict[str, dict[str, set[str]]] = {}  # part → framework → its sha256 in each job
    for framework, code in codes:
        whole = {"": str(code.workloads_sha256)}
        parts = whole if only_whole or code.parts_sha256 is None else code.parts_sha256
        for name, digest in parts.items():
            digests.setdefault(name, {}).setdefault(framework, set()).add(digest)
    return sorted(
        f"workloads/{name}"
        for name, found in digests.items()
        if len(found) > 1 and len(set().union(*found.values())) > 1
    )


def _modules(sources: Sources) -> dict[str, dict[str, str]]:
    """For each folder below workloads/: the parts that its code uses, with their sha256."""
    texts = {name: content.decode("utf-8", "replace") for name, content in sources.items()}
    hashes = {name: _sha256_of_part(name, sources) for name in sorted(map(imports.part, sources))}
    modules = [name for name in hashes if name not in sources]
    return {module: {name: hashes[name] for name in sorted(imports.parts_of(module, texts))} for module in modules}


def _sha256_of_part(part: str, sources: Sources) -> str:
    if part in sources:
        return _sha256(sources[part])
    return sha256_of_sources(
        {name.removeprefix(f"{part}/"): content for name, content in sources.items() if name.startswith(f"{part}/")}
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _unix(content: bytes) -> bytes:
    """Text as it is written on Unix; a file with a zero byte is no text."""
    return content if b"\0" in content else content.replace(b"\r\n", b"\n")


def _holds(folder: Path, files: Sources) -> bool:
    """Whether `folder` holds these files, and no others."""
    try:
        there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
        return there.keys() == files.keys() and all(
            not path.is_symlink() and path.read_bytes() == files[name] for name, path in there.items()
        )
    except OSError:
        return False


def _write(folder: Path, files: Sources) -> None:
    """Make `folder` hold these files, readable by the user of a container whatever the umask is."""
    if _holds(folder, files):  # another process was faster
        return
    with atomic_folder(folder) as temporary:
        temporary.chmod(0o755)
        for name, content in files.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(0o444)
        for path in temporary.rglob("*"):
            if path.is_dir():
                path.chmod(0o755)


def _commit(root: Path) -> tuple[str | None, bool | None]:
    """The commit of the code at `root`, and whether the code that runs differs from it. None where it is unknown."""
    record = root / BUILD_RECORD
    if record.is_file():
        built = CodeFacts.model_validate_json(record.read_bytes())
        return built.git_commit, built.git_dirty
    # The repository of another project may be around it, and does not know these files.
    if _git(root, "ls-files", "--error-unmatch", "--", "workloads") is None:
        return None, None
    commit = _git(root, "rev-parse", "HEAD")
    status = _git(root, "status", "--porcelain", "--", "workloads", "orchestrator", "images")
    if commit is None or status is None:
        return commit, None
    return commit, bool(status) or not _runs_program_of(root)


def _runs_program_of(root: Path) -> bool:
    """Whether this program is the one in the checkout at `root`, or has the same files."""
    here, there = Path(orchestrator.__file__).resolve().parent, root.resolve() / "orchestrator"
    return here == there or not there.is_dir() or _program(here) == _program(there)


def _program(package: Path) -> dict[str, bytes]:
    paths = (path.relative_to(package) for path in package.rglob("*.py"))
    return {path.as_posix(): _unix((package / path).read_bytes()) for path in paths if path.parts[0] != "_bundled"}


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
