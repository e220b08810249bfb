"""The run directory: results/<run>/ holds all that is known about a run, readable at every moment.

    run.json          the spec, the jobs in order, when it began
    <job>.json        the result, written once, atomically, when the job has ended
    <job>.jsonl       the job's events as they were received
    <job>.log         everything else it printed
    <job>.output/     its artifacts
    <job>.telemetry.jsonl  what it used, moment by moment
    <job>.attempt-1.* the same of an earlier attempt: attempts are kept apart, never mixed

A job without a .json has not ended, and one whose result says "interrupted" neither: those --resume runs. All
tables are made from these files alone.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal, Protocol

import pydantic

from orchestrator import sealed
from orchestrator.errors import StoreError
from orchestrator.files import atomic_file, atomic_write, remove_tree
from orchestrator.plan.jobs import Job
from orchestrator.plan.spec import EngineName, Spec
from orchestrator.record import usage
from orchestrator.record.events import MAX_LINE_BYTES, Event, Reader, Violation
from orchestrator.record.results import SCHEMA_VERSION, Result
from orchestrator.record.usage import UsageCurves
from orchestrator.strict import Strict

MAX_LOG_BYTES = 64 << 20  # of a job's log; the rest is counted, not kept
MAX_EVENT_BYTES = 1 << 30
MAX_OUTPUT_BYTES = 64 << 20  # of a job's output folder
MAX_OUTPUT_FILES = 2_000
_SUFFIXES = (".json", ".jsonl", ".log", ".spec.json", ".telemetry.jsonl", ".output")


class Run(Strict):
    """What run.json holds."""

    schema_version: Literal[1] = SCHEMA_VERSION
    id: str
    began: str  # UTC, ISO 8601
    command: tuple[str, ...]  # the command line, for people
    engine: EngineName  # the one in use, for --resume
    spec: Spec
    jobs: tuple[Job, ...]  # with `repeats: auto`, those of every round so far
    ended: str = ""  # with `repeats: auto`, why no further round was run


class _Named(pydantic.BaseModel):
    id: str


class _Plan(pydantic.BaseModel):
    """Of what run.json holds, all that reading the results takes: reading that of 10,000 jobs whole takes a while."""

    jobs: tuple[_Named, ...]


class RunSource(Protocol):
    """Where a run is read from: its folder, or a capsule."""

    @property
    def id(self) -> str:
        """The run's name."""

    def read_run(self) -> Run:
        """The spec and the jobs. Raises StoreError."""

    def each_result(self, complain: Callable[[StoreError], None], run: Run | None = None) -> Iterator[Result]:
        """The results there are, in the order of the plan; what is damaged is told to `complain`.

        Who has read the run already gives it: it need not be read again.
        """

    def events(self, job: str) -> Iterator[Event]:
        """A job's events as they were received, where they were kept."""

    def usage(self, job: str) -> UsageCurves | None:
        """What a job used over time, where that was kept."""


class RunFolder:
    """One directory under results/."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, results: Path, name: str) -> RunFolder:
        """Make a fresh folder named after the time and `name`. Raises StoreError."""
        stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%d-%H%M%S")
        for attempt in range(100):
            path = results / (f"{stamp}-{name}" + (f"-{attempt}" if attempt else ""))
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                continue
            except OSError as error:
                raise StoreError(f"cannot write to {results}: {error.strerror}", hint="pass --results DIR") from error
            return cls(path)
        raise StoreError(f"{results} has a hundred runs of this second", hint="wait a second")

    @property
    def id(self) -> str:
        return self.path.name

    def write_run(self, run: Run) -> None:
        """Write run.json."""
        with _writing(self.path):
            atomic_write(self.path / "run.json", sealed.sealed(run))

    def read_run(self) -> Run:
        """Read run.json. Raises StoreError when it is missing or not one of ours."""
        return sealed.read(self.path / "run.json", Run)

    def write_result(self, result: Result) -> None:
        """Write a job's result: from now on the job counts as done."""
        with _writing(self.path):
            atomic_write(self.path / f"{result.job.id}.json", sealed.sealed(result))

    def read_result(self, job: str) -> Result | None:
        """A job's result, or None when the job has not ended. Raises StoreError for a damaged file."""
        path = self.path / f"{job}.json"
        try:
            return sealed.read(path, Result, common="provenance")
        except StoreError:
            if path.exists():
                raise
            return None

    def events(self, job: str) -> Iterator[Event]:
        """A job's events as they were received, up to the first that breaks the protocol; none when not kept."""
        reader = Reader()
        try:
            with (self.path / f"{job}.jsonl").open("rb") as file, contextlib.suppress(Violation):
                while line := file.readline(MAX_LINE_BYTES + 1):
                    yield reader.read(line)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(f"{error.filename}: cannot be read: {error.strerror}", hint="check the disk") from error

    def usage(self, job: str) -> UsageCurves | None:
        """What a job used over time, from its samples up to a line that is too long; None when they were not kept."""
        try:
            with (self.path / f"{job}.telemetry.jsonl").open("rb") as file:
                lines = iter(lambda: file.readline(MAX_LINE_BYTES + 1), b"")
                return usage.of_lines(itertools.takewhile(lambda line: len(line) <= MAX_LINE_BYTES, lines))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{error.filename}: cannot be read: {error.strerror}", hint="check the disk") from error

    def missing(self, jobs: Sequence[Job]) -> list[Job]:
        """Those of `jobs` that have not ended, or were interrupted. Raises StoreError for a damaged result.

        A job that was skipped has ended: this machine cannot run it.
        """
        found = ((job, self.read_result(job.id)) for job in jobs)
        return [job for job, result in found if result is None or result.status == "interrupted"]

    def results(self, complain: Callable[[StoreError], None] | None = None) -> list[Result]:
        """The results there are, in the order of the plan. A damaged one is left out and told to `complain`.

        Without `complain` it raises StoreError.
        """
        return list(self.each_result(complain))

    def each_result(
        self, complain: Callable[[StoreError], None] | None = None, run: Run | None = None
    ) -> Iterator[Result]:
        """The same, one after the other."""
        for job in (run or sealed.read(self.path / "run.json", _Plan)).jobs:
            try:
                result = self.read_result(job.id)
            except StoreError as error:
                if complain is None:
                    raise
                complain(error)
            else:
                if result is not None:
                    yield result

    @contextlib.contextmanager
    def record(self, job: str) -> Iterator[Recorder]:
        """Files for a job's events and log. What an earlier attempt left is replaced."""
        with _writing(self.path):
            events, log = (self.path / f"{job}.jsonl").open("wb"), (self.path / f"{job}.log").open("wb")
        recorder = Recorder(events, log)
        try:
            yield recorder
        finally:
            recorder.close()

    def set_aside(self, job: str) -> int:
        """Give what an earlier attempt of `job` left another name; returns the number of the attempt to come."""
        earlier = [path.name.removeprefix(f"{job}.attempt-") for path in self.path.glob(f"{job}.attempt-*")]
        number = 1 + max((int(name.partition(".")[0]) for name in earlier), default=0)
        # The result first: whoever is killed in between leaves a job without one, which runs again.
        left = [name for name in (f"{job}{suffix}" for suffix in _SUFFIXES) if (self.path / name).exists()]
        with _writing(self.path):
            for name in left:
                (self.path / name).rename(self.path / f"{job}.attempt-{number}{name.removeprefix(job)}")
        return number + bool(left)

    def write_job(self, job: Job) -> Path:
        """The job as its workload reads it."""
        path = self.path / f"{job.id}.spec.json"
        with _writing(self.path):
            atomic_write(path, (json.dumps(job.for_workload(), indent=1) + "\n").encode())
        return path

    def write_telemetry(self, job: str, lines: Iterable[Mapping[str, Any]]) -> None:
        """The samples taken beside a job, one JSON object per line."""
        path = self.path / f"{job}.telemetry.jsonl"
        with _writing(self.path), atomic_file(path) as file:
            for line in lines:
                file.write(json.dumps(line, allow_nan=False).encode() + b"\n")

    def output(self, job: str) -> Path:
        """An empty folder for a job's artifacts."""
        path = self.path / f"{job}.output"
        with _writing(self.path):
            remove_tree(path)
            path.mkdir()
        return path

    def output_is_full(self, job: str) -> bool:
        """Whether a job put more into its output folder than it may."""
        return is_overfull(self.path / f"{job}.output")

    def keep_artifacts(self, job: str, names: Iterable[str]) -> list[str]:
        """Remove all from a job's output folder but the plain files called `names`; returns those that are missing.

        Nothing a job left there is opened, and no link is followed.
        """
        folder, wanted = self.path / f"{job}.output", set(names)
        kept = set()
        with _writing(self.path), os.scandir(folder) as entries:
            for entry in entries:
                size = entry.stat(follow_symlinks=False).st_size
                if entry.name in wanted and entry.is_file(follow_symlinks=False) and size <= MAX_OUTPUT_BYTES:
                    kept.add(entry.name)
                else:
                    remove_tree(Path(entry.path))
        return sorted(wanted - kept)


class Recorder:
    """Appends to a job's event file and log, each up to a limit."""

    def __init__(self, events: IO[bytes], log: IO[bytes]) -> None:
        self._events = events
        self._log = log
        self._logged = 0
        self._recorded = 0

    def event(self, line: bytes) -> None:
        """Keep one event line, exactly as received."""
        self._recorded += len(line) + 1
        if self._recorded <= MAX_EVENT_BYTES:
            self._write(self._events, line + b"\n")

    def log(self, data: bytes) -> None:
        """Keep bytes the job printed beside its events."""
        room = MAX_LOG_BYTES - self._logged
        self._logged += len(data)
        if room > 0:
            self._write(self._log, data[:room])

    def flush(self) -> None:
        """Let other processes see what has been written so far."""
        with _writing(Path(self._log.name)):
            self._events.flush()
            self._log.flush()

    def close(self) -> None:
        """Make sure of everything on disk."""
        with self._events, self._log, _writing(Path(self._log.name)):
            for stream in (self._events, self._log):
                stream.flush()
                os.fsync(stream.fileno())

    def _write(self, stream: IO[bytes], data: bytes) -> None:
        try:
            stream.write(data)
        except OSError as error:
            raise _cannot_write(Path(stream.name), error) from error


def is_overfull(output: Path) -> bool:
    """Whether there is more in a job's output folder than may be."""
    used = count = 0
    folders = [output]
    try:
        while folders:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    count += 1
                    used += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
                    if used > MAX_OUTPUT_BYTES or count > MAX_OUTPUT_FILES:
                        return True
    except FileNotFoundError:  # removed meanwhile; there is a next look
        return False
    except OSError:  # too deep, or locked: no workload has reason to make what cannot be counted
        return True
    return False


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError) -> StoreError:
    hint = "make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "check the disk and its permissions"
    return StoreError(
        f"{path}: cannot be written: {error.strerror}", hint=f"{hint}; then go on with `orchestrator bench --resume`"
    )


def now() -> str:
    """The time, UTC, ISO 8601."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def is_file(path: Path) -> bool:
    """Whether this is a file; a name that no file can have is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def find(results: Path, run: str | None) -> RunFolder:
    """The run folder named `run` (an id, or a path), or the latest one. Raises StoreError."""
    if run is not None:
        for path in (Path(run), results / run):
            if is_file(path / "run.json"):
                return RunFolder(path)
        raise StoreError(f"no run {run!r} under {results}/", hint="`ls results/` shows what there is")
    folders = sorted(path.parent for path in results.glob("*/run.json"))
    if not folders:
        raise StoreError(f"no runs under {results}/", hint="`make bench FRAMEWORK=numpy` makes one")
    return RunFolder(folders[-1])
