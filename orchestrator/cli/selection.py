"""The results that one word of the command line names: a run, a result file, a capsule, or a framework."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import StoreError, UsageError
from orchestrator.judge.conditions import sound
from orchestrator.record import capsule, certificates, run_folder
from orchestrator.record.results import Result, split_damaged
from orchestrator.text import did_you_mean


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Results, and the name that a comparison shows for them."""

    label: str
    results: Sequence[Result]


def sources(results: Path, word: str | None) -> Sequence[run_folder.RunSource]:
    """The runs that `word` names: a run, or those in a capsule. None names the latest run. Raises StoreError."""
    if word is not None and run_folder.is_file(Path(word)):
        return capsule.runs_in(Path(word))
    return (run_folder.find(results, word),)


def certificates_of(
    sources: Sequence[run_folder.RunSource],
) -> tuple[list[certificates.Certificate], list[StoreError]]:
    """The certificates in capsules and next to run folders, each once; and an error for each that cannot be read."""
    found: list[certificates.Certificate] = []
    damaged: list[StoreError] = []
    for folder in dict.fromkeys(source.path.parent for source in sources if isinstance(source, run_folder.RunFolder)):
        stored, unreadable = certificates.held(folder)
        found += stored
        damaged += unreadable
    found += (each for source in sources if isinstance(source, capsule.Kept) for each in source.certificates)
    different: list[certificates.Certificate] = []
    for each in found:  # not a set: certificates hold dictionaries and have no hash
        if each not in different:
            different.append(each)
    return different, damaged


def select(results: Path, word: str) -> Selection:
    """The results that `word` names.

    It is a result file, a capsule, a run, RUN:FRAMEWORK, or a framework of the latest run. Raises StoreError
    when one of the results cannot be read, UsageError when there are none.
    """
    if run_folder.is_file(Path(word)):
        return Selection(label=word, results=_sound(capsule.results_in(Path(word)), word))
    run, colon, framework = word.rpartition(":")
    try:
        folder = run_folder.find(results, run if colon else word)
    except StoreError:
        if colon:
            raise
        folder = _latest(results, word)
    else:
        if not colon:
            return _whole(folder)
    measured = _sound(folder.results(), folder.id)
    chosen = [result for result in measured if result.job.framework == framework]
    if not chosen:
        there = {result.job.framework for result in measured}
        raise UsageError(
            f"{word!r} is neither a result file nor a run, and run {folder.id} has no framework {framework!r}"
            + did_you_mean(framework, there),
            hint="name a run (`ls results/`), RUN:FRAMEWORK, a result file, or a framework of the latest run",
        )
    return Selection(label=f"{folder.id}:{framework}", results=chosen)


def _latest(results: Path, word: str) -> run_folder.RunFolder:
    try:
        return run_folder.find(results, None)
    except StoreError as error:
        raise StoreError(f"no run or result file {word!r}, and {error.message}", hint=error.hint) from error


def _whole(folder: run_folder.RunFolder) -> Selection:
    measured = _sound(folder.results(), folder.id)
    if not measured:
        raise UsageError(
            f"run {folder.id} has no results yet", hint=f"go on with it: orchestrator bench --resume {folder.id}"
        )
    return Selection(label=folder.id, results=measured)


def _sound(results: Iterable[Result], where: str) -> Sequence[Result]:
    """The same results. Raises StoreError for one that cannot be compared."""
    found, damaged = split_damaged(sound(results, where))
    if damaged:
        raise damaged[0]
    return found
