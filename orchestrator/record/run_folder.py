"""The run directory: results/<run>/ holds everything about a run. Its files are complete at every moment.

    run.json          the spec, the jobs in order, when it began
    <job>.json        the result, written once, atomically, when the job has ended
    <job>.jsonl       the job's events as they were received
    <job>.log         everything else it printed
    <job>.output/     its artifacts
    <job>.telemetry.jsonl  samples of the CPU, memory and GPU that it used
    <job>.attempt-1.* the same files of an earlier attempt

A job without a .json has not ended: --resume runs it, and those that were interrupted or failed for a reason that lies
in the machine. All tables are made from these files alone. They may come from anybody: everything read is checked.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field

from orchestrator import leases, sealed
from orchestrator.errors import StoreError
from orchestrator.files import READ_ONLY, atomic_file, atomic_write, irregular, open_regular, remove_tree
from orchestrator.plan.jobs import Job
from orchestrator.plan.spec import EngineName, Spec
from orchestrator.record import usage
from orchestrator.record.artifacts import Artifacts
from orchestrator.record.events import MAX_LINE_BYTES, Event, Reader, Violation
from orchestrator.record.recorder import Recorder, store_errors
from orchestrator.record.results import OF_THE_MACHINE, SCHEMA_VERSION, Result
from orchestrator.record.usage import UsageCurves
from orchestrator.strict import Strict
from orchestrator.text import printable

LOG_FILE = "orchestrator.log"  # of the run itself
_SUFFIXES = (".json", ".jsonl", ".log", ".spec.json", ".telemetry.jsonl", ".output")


class Run(Strict):
    """What run.json holds."""

    schema_version: Literal[1] = SCHEMA_VERSION
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$")]
    began: str  # UTC, ISO 8601
    command: tuple[str, ...]  # the command line
    engine: EngineName  # the one in use, for --resume
    spec: Spec
    jobs: tuple[Job, ...]  # with `repeats: auto`, the jobs of all rounds so far
    ended: str = ""  # with `repeats: auto`, why no further round was run


class RunSource(Protocol):
    """A run that can be read: its folder, or a capsule."""

    @property
    def id(self) -> str:
        """The run's name."""

    def read_run(self) -> Run:
        """The spec and the jobs. Raises StoreError."""

    def each_result(self) -> Iterator[Result | StoreError]:
        """The results so far, in the order of the plan; an error in the place of each that cannot be read.

        Raises StoreError when the run itself cannot be read.
        """

    def events(self, job: str) -> Iterator[Event]:
        """The events of a job as they were received; none when they were not kept."""

    def usage(self, job: str) -> UsageCurves | None:
        """What a job used over time; None when that was not kept."""


class RunFolder:
    """One directory under results/."""

    def __init__(self, path: Path, id: str | None = None) -> None:  # noqa: A002
        """`id` is the run's, where the folder has another name: it was copied or renamed."""
        self.path = path
        self._id = id or path.name

    @classmethod
    def create(cls, results: Path, name: str) -> RunFolder:
        """Make a new folder whose name is the time and `name`. Raises StoreError."""
        stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%d-%H%M%S")
        for attempt in range(100):
            path = results / (f"{stamp}-{name}" + (f"-{attempt}" if attempt else ""))
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                continue
            except OSError as error:
                raise StoreError(
                    f"cannot write to {results}: {error.strerror}", hint="name another folder: --results DIR"
                ) from error
            return cls(path)
        raise StoreError(f"{results} already has 100 runs that began in this second", hint="wait a second")

    @property
    def id(self) -> str:
        return self._id

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep other programs from running jobs into this folder. Raises StoreError when one does so now.

        Also raises it for a folder in which something leads elsewhere: it may come from somebody else.
        """
        with contextlib.ExitStack() as stack:
            try:
                with store_errors(self.path):
                    odd = irregular(self.path)
                    if odd:
                        raise self._leads_elsewhere(odd[0])
                    stack.enter_context(leases.held(self.path / ".lease"))
            except leases.TakenError as error:
                raise StoreError(
                    f"run {self.id} is in use by {error}", hint="wait until it has ended, or stop that process"
                ) from None
            yield

    def _leads_elsewhere(self, name: str) -> StoreError:
        return StoreError(
            f"{self.path}: {printable(name)} is a link, a FIFO or a device: nothing is written there",
            hint="remove it, and try again",
        )

    def write_run(self, run: Run) -> None:
        """Write run.json."""
        with store_errors(self.path):
            atomic_write(self.path / "run.json", sealed.dump(run))

    def read_run(self) -> Run:
        """Read run.json. Raises StoreError when it is missing, edited, or something else."""
        return sealed.load(self.path / "run.json", Run)

    def write_result(self, result: Result) -> None:
        """Write a job's result. From now on the job counts as ended."""
        with store_errors(self.path):
            atomic_write(self.path / f"{result.job.id}.json", sealed.dump(result))

    def read_result(self, job: str) -> Result | None:
        """A job's result, or None when the job has not ended.

        Raises StoreError for a damaged file, and for the result of another job.
        """
        path = self.path / f"{job}.json"
        try:
            result = sealed.load(path, Result)
        except StoreError:
            if path.exists():
                raise
            return None
        if result.job.id != job:
            raise self._foreign(job, f"it is a result of another job, {printable(result.job.id)}")
        return result

    def _result_of(self, run: str, job: Job) -> Result | None:
        """The same. Raises StoreError also where the job was planned otherwise, or is one of another run."""
        result = self.read_result(job.id)
        if result is not None and (problem := foreign(run, job, result)):
            raise self._foreign(job.id, problem)
        return result

    def _foreign(self, job: str, problem: str) -> StoreError:
        return StoreError(
            f"{self.path / job}.json: {problem}", hint="delete it; then `bench --resume` measures that job again"
        )

    def events(self, job: str) -> Iterator[Event]:
        """The events of a job as received, up to the first that breaks the protocol; none when they were not kept."""
        reader = Reader()
        try:
            with open_regular(self.path / f"{job}.jsonl") as file, contextlib.suppress(Violation):
                while line := file.readline(MAX_LINE_BYTES + 1):
                    yield reader.read(line)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(f"{error.filename}: cannot be read: {error.strerror}", hint="check the disk") from error

    def usage(self, job: str) -> UsageCurves | None:
        """What a job used over time, from its samples up to a line that is too long; None without samples."""
        try:
            with open_regular(self.path / f"{job}.telemetry.jsonl") as file:
                lines = iter(lambda: file.readline(MAX_LINE_BYTES + 1), b"")
                return usage.of_lines(itertools.takewhile(lambda line: len(line) <= MAX_LINE_BYTES, lines))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{error.filename}: cannot be read: {error.strerror}", hint="check the disk") from error

    def missing(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs that have not ended, or failed for a reason that lies in the machine.

        Raises StoreError for a damaged result. A job that was skipped has ended: this machine cannot run it.
        """
        found = ((job, self._result_of(self.id, job)) for job in jobs)
        return [job for job, result in found if result is None or _is_to_be_repeated(result)]

    def results(self) -> list[Result]:
        """The results so far, in the order of the plan. Raises StoreError for a damaged one."""
        run = self.read_run()
        found = (self._result_of(run.id, job) for job in run.jobs)
        return [result for result in found if result is not None]

    def each_result(self) -> Iterator[Result | StoreError]:
        """The same, with an error in the place of each damaged result."""
        run = self.read_run()
        for job in run.jobs:
            try:
                result = self._result_of(run.id, job)
            except StoreError as error:
                yield error
            else:
                if result is not None:
                    yield result

    def log_of(self, job: str) -> Path | None:
        """The file that says most about `job`: what it printed; else the log of the run. None when there is none."""
        logs = (self.path / f"{job}.log", self.path / LOG_FILE)
        return next((path for path in logs if path.is_file() and path.stat().st_size), None)

    @contextlib.contextmanager
    def record(self, job: str) -> Iterator[Recorder]:
        """Open files for a job's events, log and artifacts. Files of an earlier attempt are replaced."""
        output = self.path / f"{job}.output"
        with store_errors(self.path):
            remove_tree(output)
            events, log = (self.path / f"{job}.jsonl").open("wb"), (self.path / f"{job}.log").open("wb")
        recorder = Recorder(events, log, Artifacts(output))
        try:
            yield recorder
        finally:
            recorder.close()

    def set_aside(self, job: str) -> int:
        """Rename the files of an earlier attempt of `job`. Returns the number of the next attempt."""
        earlier = [path.name.removeprefix(f"{job}.attempt-") for path in self.path.glob(f"{job}.attempt-*")]
        number = 1 + max((int(name.partition(".")[0]) for name in earlier), default=0)
        # The result first: if this process is killed in between, the job has no result and runs again.
        left = [name for name in (f"{job}{suffix}" for suffix in _SUFFIXES) if (self.path / name).exists()]
        with store_errors(self.path):
            for name in left:
                (self.path / name).rename(self.path / f"{job}.attempt-{number}{name.removeprefix(job)}")
        return number + bool(left)

    def write_job(self, job: Job) -> Path:
        """Write the job as its workload reads it."""
        path = self.path / f"{job.id}.spec.json"
        with store_errors(self.path):
            atomic_write(path, (json.dumps(job.for_workload(), indent=1) + "\n").encode(), mode=READ_ONLY)
        return path

    def write_telemetry(self, job: str, lines: Iterable[Mapping[str, Any]]) -> None:
        """Write the samples taken while a job ran, one JSON object per line."""
        path = self.path / f"{job}.telemetry.jsonl"
        with store_errors(self.path), atomic_file(path) as file:
            for line in lines:
                file.write(json.dumps(line, allow_nan=False).encode() + b"\n")


def foreign(run: str, job: Job, result: Result) -> str:
    """Why a stored result is not that of `job` in the run of this id; empty where it is."""
    # On a cluster the job gets its GPUs together with its node.
    if result.run not in {"", run}:
        return f"it is a result of run {printable(result.run)}"
    if result.job.model_copy(update={"gpus": job.gpus}) != job:
        if result.job.id == job.id:
            return "it is a result of other settings than its run has"
        return f"it is a result of another job, {printable(result.job.id)}"
    return ""


def _is_to_be_repeated(result: Result) -> bool:
    return result.failure is not None and result.failure.kind in OF_THE_MACHINE


def now() -> str:
    """The current time, UTC, ISO 8601."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
