"""The ledger: which expensive checks passed, on which CPU if that matters, and over which inputs.

A check is named, and lists its inputs as patterns of paths. Its hash is computed over these files, so that any edit of
them, be it a comment, makes the check run again. Entries are in two places: `ci/ledger.json`, which is committed, and a
folder of the user's cache, which every passing run adds to.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator import files, leases

COMMITTED = Path("ci") / "ledger.json"
HASH_DIGITS = 20  # of SHA-256: enough to tell apart all versions of a check there will ever be


@dataclass(frozen=True, kw_only=True)
class Check:
    """An expensive check; `inputs` are paths or globs below the checkout, and a folder stands for all files in it."""

    name: str
    inputs: tuple[str, ...]
    facts: tuple[str, ...] = ()  # inputs that are no files of the checkout
    always: bool = False  # runs even where it has passed, so that every run tries each engine
    rare: bool = False  # runs only where every check is asked for
    any_cpu: bool = False  # what passed on one CPU counts on all others


class Fingerprints:
    """Hashes of the checks of one checkout. Files are read once: make another object to see later changes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, str] = {}  # of each pattern

    def of(self, check: Check) -> str:
        """The hash over all inputs of a check. Raises ValueError when a pattern matches no file."""
        parts = [self._of_pattern(pattern) for pattern in sorted(set(check.inputs))]
        return _sha256("\0".join([*parts, *check.facts]).encode())[:HASH_DIGITS]

    def _of_pattern(self, pattern: str) -> str:
        if pattern not in self._known:
            found = {path.relative_to(self._root).as_posix(): path for path in files_of(self._root, pattern)}
            if not found:
                raise ValueError(f"no file matches {pattern!r}, which is an input of a check")
            # Git may check text out with either kind of line end.
            contents = {name: _sha256(path.read_bytes().replace(b"\r\n", b"\n")) for name, path in found.items()}
            self._known[pattern] = _sha256(json.dumps(contents, sort_keys=True).encode())
        return self._known[pattern]


def files_of(root: Path, pattern: str) -> Iterator[Path]:
    """The files that a pattern stands for; caches of compiled Python are left out."""
    for path in root.glob(pattern):
        inside = path.rglob("*") if path.is_dir() else [path]
        yield from (each for each in inside if each.is_file() and "__pycache__" not in each.parts)


class Ledger:
    """Looks up and records what passed on one CPU. `committed` is a file, `local` a folder."""

    def __init__(self, committed: Path, local: Path, cpu: str) -> None:
        self._committed, self._local, self._cpu = committed, local, cpu

    def passed(self, check: Check, fingerprint: str) -> str | None:
        """The date on which the check passed with these inputs; None if that is not known."""
        entry = read(self._committed).get(self._key(check))
        if entry is not None and entry["hash"] == fingerprint:
            return entry["date"]
        try:
            return self._stamp(check, fingerprint).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def record(self, check: Check, fingerprint: str) -> str:
        """Note in the local folder that the check passed today; return the date.

        Each entry is a file of its own, so that several runs at once cannot overwrite each other's.
        """
        today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
        files.atomic_write(self._stamp(check, fingerprint), today.encode())
        return today

    def commit(self, check: Check, fingerprint: str, date: str) -> None:
        """Write an entry into the committed file. Several processes may do so at once."""
        self._local.mkdir(parents=True, exist_ok=True)
        with leases.awaited(self._local / "ledger.lock", "the ledger"):
            entries = {**read(self._committed), self._key(check): {"date": date, "hash": fingerprint}}
            files.atomic_write(self._committed, text_of(entries).encode())

    def _key(self, check: Check) -> str:
        return check.name if check.any_cpu else f"{check.name} | {self._cpu}"

    def _stamp(self, check: Check, fingerprint: str) -> Path:
        return self._local / _sha256(f"{self._key(check)}\0{fingerprint}".encode())[:HASH_DIGITS]


def read(path: Path) -> dict[str, dict[str, str]]:
    """The entries of a committed ledger; none where there is no such file."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def text_of(entries: Mapping[str, Mapping[str, str]]) -> str:
    """The committed file: sorted, one line for each entry, so that branches with different entries merge."""
    lines = [f"{json.dumps(key)}: {json.dumps(entries[key], sort_keys=True)}" for key in sorted(entries)]
    return "{\n" + ",\n".join(lines) + "\n}\n" if lines else "{}\n"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
