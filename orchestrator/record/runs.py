"""Finds a run by the name that a user gives it, or the latest one."""

from __future__ import annotations

import difflib
from pathlib import Path

import pydantic_core

from orchestrator import sealed
from orchestrator.errors import StoreError, UsageError
from orchestrator.files import is_file, is_folder, open_regular
from orchestrator.record.run_folder import RunFolder
from orchestrator.text import CLOSE, MAX_NOTE, clip


def find_run(results: Path, run: str | None) -> RunFolder:
    """The run folder named `run` (an id, or a path), or the latest one.

    Raises UsageError for a name that no run has, and StoreError where there are no runs.
    """
    if run is not None:
        for path in (Path(run), results / run):
            if is_file(path / "run.json"):
                return RunFolder(path)
        raise _no_run(results, run)
    folders = [path.parent for path in results.glob("*/run.json")]
    if not folders:
        raise StoreError(f"no runs under {results}/", hint="`rosetta bench --framework numpy` makes one")
    return RunFolder(max(folders, key=lambda folder: (_began(folder), folder.name)))


def _no_run(results: Path, run: str) -> UsageError:
    """The error for a name that no run has: what there is instead."""
    if is_file(results / run) or is_file(Path(run)):
        what = f"{clip(run, MAX_NOTE)} is a file, and no run"
    elif run and (is_folder(Path(run)) or is_folder(results / run)):
        what = f"{clip(run, MAX_NOTE)} is a folder without run.json, so it is no run"
    elif run.endswith(".json") or "/" in run:
        what = f"there is no file {clip(run, MAX_NOTE)}"
    else:
        what = f"there is no run {clip(run, MAX_NOTE)!r} in {results}/"
    known = sorted(path.parent.name for path in results.glob("*/run.json"))
    near = difflib.get_close_matches(run, known, n=1, cutoff=CLOSE)
    if near or known:
        return UsageError(what, hint=f"did you mean {near[0]}?" if near else f"the latest run is {known[-1]}")
    return UsageError(what, hint="there are no runs yet: `rosetta bench --framework numpy` makes one")


def _began(folder: Path) -> str:
    """When the run in `folder` began; empty where that cannot be read. A folder's name may be of a copy."""
    try:
        with open_regular(folder / "run.json") as file:
            began = pydantic_core.from_json(file.read(sealed.MAX_BYTES))["began"]
    except (OSError, ValueError, LookupError, TypeError):
        return ""
    return began if isinstance(began, str) else ""
