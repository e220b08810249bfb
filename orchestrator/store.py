"""The run directory: results/<run>/ holds all that is known about a run, readable at every moment.

    run.json          the spec, the jobs in order, when it began
    <job>.json        the result, written once, atomically, when the job has ended
    <job>.jsonl       the job's events as they were received
    <job>.log         everything else it printed
    <job>.output/     its artifacts

A job without a .json has not ended: that is what --resume runs. All tables are made from these files alone.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal, TypeVar

import pydantic

from orchestrator.errors import StoreError
from orchestrator.files import atomic_write
from orchestrator.plan import Job
from orchestrator.results import SCHEMA_VERSION, Result
from orchestrator.spec import EngineName, Spec, Strict

MAX_LOG_BYTES = 64 << 20  # of a job's log; the rest is counted, not kept
MAX_EVENT_BYTES = 1 << 30


class Run(Strict):
    """What run.json holds."""

    schema_version: Literal[1] = SCHEMA_VERSION
    id: str
    began: str  # UTC, ISO 8601
    command: tuple[str, ...]  # the command line, for people
    engine: EngineName  # the one in use, for --resume
    spec: Spec
    jobs: tuple[Job, ...]


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
        atomic_write(self.path / "run.json", _json(run))

    def read_run(self) -> Run:
        """Read run.json. Raises StoreError when it is missing or not one of ours."""
        return _read(self.path / "run.json", Run)

    def write_result(self, result: Result) -> None:
        """Write a job's result: from now on the job counts as done."""
        atomic_write(self.path / f"{result.job.id}.json", _json(result))

    def read_result(self, job: str) -> Result | None:
        """A job's result, or None when the job has not ended. Raises StoreError for a damaged file."""
        path = self.path / f"{job}.json"
        return _read(path, Result) if path.exists() else None

    def results(self) -> list[Result]:
        """The results there are, in the order of the plan."""
        found = (self.read_result(job.id) for job in self.read_run().jobs)
        return [result for result in found if result is not None]

    @contextlib.contextmanager
    def record(self, job: str) -> Iterator[Recorder]:
        """Files for a job's events and log. What an earlier attempt left is replaced."""
        with (self.path / f"{job}.jsonl").open("wb") as events, (self.path / f"{job}.log").open("wb") as log:
            yield Recorder(events, log)
            for stream in (events, log):
                stream.flush()
                os.fsync(stream.fileno())

    def output(self, job: str) -> Path:
        """An empty folder for a job's artifacts."""
        path = self.path / f"{job}.output"
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        return path


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
            self._events.write(line + b"\n")

    def log(self, data: bytes) -> None:
        """Keep bytes the job printed beside its events."""
        room = MAX_LOG_BYTES - self._logged
        self._logged += len(data)
        if room > 0:
            self._log.write(data[:room])

    def flush(self) -> None:
        """Let other processes see what has been written so far."""
        self._events.flush()
        self._log.flush()


def now() -> str:
    """The time, UTC, ISO 8601."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def find(results: Path, run: str | None) -> RunFolder:
    """The run folder named `run` (an id, or a path), or the latest one. Raises StoreError."""
    if run is not None:
        for path in (Path(run), results / run):
            if (path / "run.json").is_file():
                return RunFolder(path)
        raise StoreError(f"no run {run!r} under {results}/", hint="`ls results/` shows what there is")
    folders = sorted(path.parent for path in results.glob("*/run.json"))
    if not folders:
        raise StoreError(f"no runs under {results}/", hint="`make bench FRAMEWORK=numpy` makes one")
    return RunFolder(folders[-1])


def _json(model: pydantic.BaseModel) -> bytes:
    return (json.dumps(model.model_dump(mode="json"), indent=1, allow_nan=False) + "\n").encode()


Model = TypeVar("Model", bound=pydantic.BaseModel)


def _read(path: Path, model: type[Model]) -> Model:
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}", hint="is this a run directory?") from error
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise StoreError(
            f"{path}: not written by this program, or edited: {where + ': ' if where else ''}{first['msg']}",
            hint="restore the file; or delete it, and `bench --resume` measures that job again",
        ) from None
