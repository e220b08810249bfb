"""The results that one word of the command line names: a run, a result file, a capsule, or a framework."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from orchestrator import files
from orchestrator.errors import StoreError, UsageError
from orchestrator.judge import stored_jobs
from orchestrator.judge.conditions import sound
from orchestrator.record import capsule, certificates, run_folder, signatures
from orchestrator.record.certificates import Certificate
from orchestrator.record.results import Result, split_damaged
from orchestrator.record.runs import find_run
from orchestrator.record.signatures import Signature
from orchestrator.report.certified import Origin
from orchestrator.text import did_you_mean, printable

Content = TypeVar("Content")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Results, and the name that a comparison shows for them."""

    label: str
    results: Sequence[Result]
    signed: Signed | None = None  # None for results that are not in one file


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A file that was named, and the signature beside it, if there is one."""

    path: Path
    signature: Signature | None


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The runs that words name, and who vouches for each."""

    runs: tuple[run_folder.RunSource, ...]
    origins: tuple[Origin, ...]  # one for each run
    own: tuple[Certificate, ...]  # in the reader's results folder
    unread: tuple[StoreError, ...]  # one for each certificate that cannot be read
    signed: tuple[Signed, ...]  # the capsules


def sources(results: Path, words: Iterable[str | None]) -> Sources:
    """The runs that `words` name: a run, or those in a capsule. None names the latest run.

    Raises StoreError for a run or a capsule that cannot be read, and for a signature that does not fit its capsule.
    """
    own, unread = certificates.held(results)
    runs: list[run_folder.RunSource] = []
    origins: list[Origin] = []
    signed: list[Signed] = []
    for word in words:
        file = Path(word) if word is not None and files.is_file(Path(word)) else None
        folder = find_run(results, word) if file is None else _folder_of(file)
        if folder is not None:
            runs.append(folder)
            origins.append(_origin_of(folder, results, unread))
        elif file is not None:
            kept, signature = read_signed(file, _runs_in)
            signed.append(signature)
            runs += kept
            origins += (_origin_in(signature, each) for each in kept)
    return Sources(runs=tuple(runs), origins=tuple(origins), own=tuple(own), unread=tuple(unread), signed=tuple(signed))


class _OneJob(run_folder.RunFolder):
    """A run folder of which only one job is read."""

    def __init__(self, file: Path) -> None:
        super().__init__(file.parent)
        self._file = file

    def read_run(self) -> run_folder.Run:
        run = super().read_run()
        jobs = tuple(job for job in run.jobs if f"{job.id}.json" == self._file.name)
        if not jobs:
            raise StoreError(
                f"{printable(str(self._file))} is not the result of a job of its run",
                hint="name a run, a result file (results/RUN/JOB.json) or a capsule",
            )
        return run.model_copy(update={"jobs": jobs})


def _folder_of(path: Path) -> run_folder.RunFolder | None:
    """The run folder that a result file lies in, as far as it is about that job; None for any other file."""
    beside_run = files.is_file(path.parent / "run.json") and path.name != "run.json"
    if not beside_run or capsule.is_capsule(path):
        return None
    return _OneJob(path)


def _runs_in(path: Path) -> tuple[capsule.Kept, ...]:
    """The runs in a capsule. A result file without its run is a run of one job."""
    if capsule.is_capsule(path):
        return capsule.runs_in(path)
    result = capsule.result_in(path)
    run = run_folder.Run(
        id=result.run or "unknown",
        began=result.began,
        command=(),
        engine=result.provenance.local_engine,
        spec=stored_jobs.spec_of(result, 1),
        jobs=(result.job,),
    )
    return (capsule.Kept(run=run, results=(result,)),)


def _origin_of(folder: run_folder.RunFolder, results: Path, unread: list[StoreError]) -> Origin:
    """Who vouches for a run folder. Errors of certificates beside it are added to `unread`."""
    if _is_below(folder.path, results):
        return Origin(mine=True)
    found, damaged = certificates.held(folder.path.parent)
    unread += (error for error in damaged if error.message not in {each.message for each in unread})
    return _origin_elsewhere(folder.path, results, found)


def read_signed(path: Path, read: Callable[[Path], Content]) -> tuple[Content, Signed]:
    """Read a file and check the signature beside it. Raises StoreError for a signature that does not fit."""
    with signatures.unchanged(path):
        signature = signatures.check(path)
        return read(path), Signed(path=path, signature=signature)


def _origin_in(signed: Signed, kept: capsule.Kept) -> Origin:
    place, signature = printable(signed.path.name), signed.signature
    if signature is None:
        return Origin(place=place, certificates=kept.certificates)
    return Origin(place=place, certificates=kept.certificates, signer=signature.signer, doubt=signature.doubt)


def _origin_elsewhere(path: Path, results: Path, found: Sequence[Certificate]) -> Origin:
    """The origin of a run folder that lies in another place than the reader's results."""
    return Origin(
        place=printable(path.name),
        certificates=tuple(found),
        doubt=f"it is not below {printable(str(results))}, where yours are (--results names another folder)",
    )


def _is_below(path: Path, results: Path) -> bool:
    """Whether a run folder, or a link to it, lies in the results folder."""
    return results.resolve() in [parent := path.absolute().parent.resolve(), *parent.parents]


def select(results: Path, word: str) -> Selection:
    """The results that `word` names.

    It is a result file, a capsule, a run, RUN:FRAMEWORK, or a framework of the latest run. Raises StoreError
    when one of the results cannot be read, UsageError when there are none.
    """
    if files.is_file(Path(word)):
        found, signed = read_signed(Path(word), capsule.results_in)
        return Selection(label=word, results=_sound(found, word), signed=signed)
    run, colon, framework = word.rpartition(":")
    try:
        folder = find_run(results, run if colon else word)
    except UsageError:
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
        return find_run(results, None)
    except StoreError as error:
        raise UsageError(f"there is no run or result file {word!r}, and {error.message}", hint=error.hint) from error


def _whole(folder: run_folder.RunFolder) -> Selection:
    measured = _sound(folder.results(), folder.id)
    if not measured:
        raise UsageError(
            f"run {folder.id} has no results yet", hint=f"go on with it: rosetta bench --resume {folder.id}"
        )
    return Selection(label=folder.id, results=measured)


def _sound(results: Iterable[Result], where: str) -> Sequence[Result]:
    """The same results. Raises StoreError for one that cannot be compared."""
    found, damaged = split_damaged(sound(results, where))
    if damaged:
        raise damaged[0]
    return found
