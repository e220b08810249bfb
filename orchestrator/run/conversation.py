"""Reads the output of one job as it arrives, and decides why the job failed.

This is the only place where the events of a job are parsed, whatever machine it runs on.
"""

from __future__ import annotations

import re
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal

from orchestrator.engines.base import TICK, Exit, Output
from orchestrator.host import quotas
from orchestrator.host.samples import Sample
from orchestrator.plan.jobs import Job
from orchestrator.record.artifacts import PART
from orchestrator.record.events import Error, Event, Lines, Reader, Start, Violation
from orchestrator.record.figures import Collector
from orchestrator.record.recorder import MAX_LOG_BYTES, Recorder
from orchestrator.record.results import Failure, FailureKind
from orchestrator.run.host_clock import HostClock
from orchestrator.run.measurement import TimedPart

LOG_LINES = 12  # shown with a failure; all of it is in <job>.log
MAX_LOG_LINE = 500

MAIN_MEMORY = ("MemoryError", "_ArrayMemoryError")  # Python's and NumPy's errors, whatever the job runs on
# Signals by which the kernel, or the job itself, ends a program that has gone wrong.
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGSYS)
Stop = Literal["time", "silence"]  # which limit a job broke that kept to the protocol
LOOK_SECONDS = 1.0  # between two checks of a running job's limits; its files are flushed then, too
STOPPED_SECONDS = 4 * TICK  # an engine is never silent for so long: after such a pause, this process itself was stopped

HINTS: dict[FailureKind, str] = {
    "out_of_memory": "give the job more memory (limits.memory), or a smaller batch (--set WORKLOAD.batch=…)",
    "gpu_memory": "a smaller batch (--set WORKLOAD.batch=…), or see in `nvidia-smi` who else holds this GPU's memory",
    "killed": "something outside the job ended it: the kernel (see dmesg), a restart of the Docker daemon, or a user",
    "timeout": "raise limits.timeout or limits.silence (--set limits.timeout=8h), or see in {log} what it waited for",
    "diverged": "check lr in the spec; if it is the default, this framework computes something else: report it",
    "protocol": "the workload file breaks workloads/common/PROTOCOL.md: fix it there",
    "no_gpu": "check the NVIDIA Container Toolkit: `nvidia-smi -L` in a container must list the GPU asked for, alone",
    "unsupported": "choose what this framework supports, or leave it out of the spec",
    "exception": "all that it printed is in {log}",
    "data": "run `rosetta data ls`; then prepare the dataset again",
}


class WrongGpu(Violation):
    """The job sees other GPUs than those it was given: its figures would be attributed to the wrong one."""


class Conversation:
    """Takes the output of one job: records everything, keeps what the figures and a failure report need."""

    def __init__(self, job: Job, recorder: Recorder, hear: Callable[[Event], None]) -> None:
        self._recorder = recorder
        self._hear = hear
        self._lines = Lines()
        self._reader = Reader()
        self._tail: deque[str] = deque(maxlen=LOG_LINES)
        self._log_rest = b""
        self._error: Error | None = None
        self._job = job
        self._last: Event | None = None
        self._at = 0.0  # when the output arrived that is read now
        self.collector = Collector(job)
        self.timed = TimedPart()
        self._clock = HostClock(job)
        self.events = 0
        self.violation: Violation | None = None

    def take(self, output: Output) -> None:
        """Take a chunk as it arrived. After a violation everything only goes to the log."""
        self._at = output.at
        try:
            if output.stream == "stderr" or self.violation is not None:
                self._log(output.data)
            else:
                for line in self._lines.feed(output.data):
                    self._take_line(line)
        except Violation as violation:
            self.violation = violation

    def close(self) -> None:
        """The stream has ended: account for what follows its last newline."""
        try:
            if self.violation is None and (rest := self._lines.close()):
                self._take_line(rest)
            self._log(b"\n" if self._log_rest else b"")
        except Violation as violation:
            self.violation = violation

    def check_clock(self, samples: Sequence[Sample], cpus: int) -> None:
        """Hold what the job reported against the host's clock; `samples` were taken beside it, it had so many CPUs."""
        try:
            self._clock.check(samples, cpus)
        except Violation as violation:
            self.violation = self.violation or violation

    def failure(
        self, exit_: Exit, *, stopped: Stop | None, train_samples: int | None, test_samples: int | None
    ) -> Failure | None:
        """Why the job failed, or None when it did not.

        There were `train_samples` for each epoch and `test_samples` to be scored; None where that is not known.
        """
        kind, message = self._verdict(exit_, stopped, train_samples, test_samples)
        return None if kind is None else self.failure_of(kind, message)

    def failure_of(self, kind: FailureKind, message: str, hint: str = "") -> Failure:
        """A failure with the end of the log."""
        return Failure(kind=kind, message=message, hint=hint or self._hint(kind, message), log=tuple(self._tail))

    def _hint(self, kind: FailureKind, message: str) -> str:
        """What to do now: the remedy for what the job lacks, or else that for all failures of this kind."""
        general = HINTS.get(kind, "").replace("{log}", self._recorder.log_name)
        if kind != "exception":
            return general
        if library := _missing_library("\n".join([*self._tail, message])):
            return _how_to_install(library, self._job.image)
        if module := re.search(r"No module named '([\w.]{1,60})'", message):
            return f"its Python lacks {module[1]}: with --python, install it there, else name it in the lock; {general}"
        return general

    def _verdict(
        self, exit_: Exit, stopped: Stop | None, train_samples: int | None, test_samples: int | None
    ) -> tuple[FailureKind | None, str]:
        if stopped is not None:
            return self._reason(stopped)
        if exit_.out_of_memory:
            limit = exit_.memory_limit
            most = "the machine has" if limit is None else f"its limit of {quotas.size_in_words(limit)}"
            return "out_of_memory", f"the job used more memory than {most}"
        if self._error is not None:
            return _class_of(self._error, self._job), f"{self._error.type}: {self._error.message}".splitlines()[0]
        if self.violation is not None:
            return "no_gpu" if isinstance(self.violation, WrongGpu) else "protocol", str(self.violation)
        if exit_.signal is not None:
            return _ended_by(exit_.signal)
        if exit_.code:
            # It sent no `error` event, for example because an import failed. The last line of its log says most.
            why = f": {self._tail[-1]}" if self._tail else " and printed no reason"
            return "exception", f"the job ended with exit code {exit_.code}{why}"
        if not self._reader.over:
            return "protocol", "the event stream stopped without 'end'"
        try:
            self.collector.check_complete(train_samples, test_samples)
        except Violation as violation:
            return "protocol", str(violation)
        return None, ""

    def _reason(self, stopped: Stop) -> tuple[FailureKind, str]:
        where = f"after {self._last.event!r}" if self._last else "before its first event"
        if stopped == "time":
            return "timeout", f"stopped at its time limit of {self._job.timeout:g} s, {where}"
        return "timeout", f"stopped because it said nothing for {self._job.silence:g} s, {where}"

    def _take_line(self, line: bytes) -> None:
        if not line.startswith(b"{"):
            self._log(line + b"\n")  # not an event: a library that prints to standard output
            return
        if line.startswith(PART):
            self._recorder.part(line)
            return
        self._recorder.event(line)
        event = self._reader.read(line)
        if self._last and self._last.event == "artifact" and event.event != "error":
            self._recorder.check_whole()
        if event.event == "artifact":
            self._recorder.artifact(event)
        self._clock.add(event, self._at)
        self.collector.add(event)
        self.timed.add(event, self._at)
        self.events += 1
        self._last = event
        if event.event == "start":
            _check_gpus(self._job, event)
        elif event.event == "error":
            self._error = event
        self._hear(event)

    def _log(self, data: bytes) -> None:
        """Keep what is no event. Raises Violation when it is too much, unless there was one before."""
        self._recorder.log(data)
        self._remember(data)
        if self._recorder.log_is_full and self.violation is None:
            raise Violation(f"it printed more than {MAX_LOG_BYTES >> 20} MiB beside its events")

    def _remember(self, data: bytes) -> None:
        """Keep the last lines for a failure report."""
        *lines, rest = (self._log_rest + data).split(b"\n")
        self._log_rest = rest[:MAX_LOG_LINE]
        for line in lines[-LOG_LINES:]:
            if text := line[:MAX_LOG_LINE].decode("utf-8", "replace").strip():
                self._tail.append("".join(c if c.isprintable() else "�" for c in text))


class Watchman:
    """Checks from time to time whether a running job has broken one of its limits.

    Time in which this process did not run, for example because it was stopped (SIGSTOP), does not count: it could not
    see what the job did meanwhile. `clock` gives the time in seconds.
    """

    def __init__(self, job: Job, clock: Callable[[], float] = time.monotonic) -> None:
        now = clock()
        self._job = job
        self._clock = clock
        self._asked = now
        self._deadline = now + job.timeout
        self._next = now
        self._heard = now
        self._events = 0

    def due(self) -> bool:
        """Whether it is time for another check. Cheap. Must be asked for everything that the engine yields."""
        now = self._clock()
        pause, self._asked = now - self._asked, now
        if pause >= STOPPED_SECONDS:
            self._deadline += pause
            self._heard += pause
        if now < self._next:
            return False
        self._next = min(now + LOOK_SECONDS, max(now, self._deadline))
        return True

    def reason(self, events: int) -> Stop | None:
        """Which limit the job has broken; `events` is how many it has sent so far."""
        now = self._clock()
        if events > self._events:
            self._events, self._heard = events, now
        if now >= self._deadline:
            return "time"
        return "silence" if now >= self._heard + self._job.silence else None


def _class_of(error: Error, job: Job) -> FailureKind:
    """The failure class of a job that sent an `error` event."""
    if error.kind == "input":
        return "data"
    if error.kind == "out_of_memory" and job.device == "gpu" and error.type not in MAIN_MEMORY:
        return "gpu_memory"
    return error.kind


def _missing_library(text: str) -> str | None:
    """The last shared library that could not be loaded, in the words of the dynamic linker: "libgomp.so.1"."""
    found = re.findall(r"(?<![\w.+-])([\w.+-]{1,100}\.so[\w.]{0,20}): cannot open shared object file", text)
    return found[-1] if found else None


def _how_to_install(library: str, image: str) -> str:
    """What to do about a shared library that an image lacks."""
    if library.startswith(("libcuda.so", "libnvidia-")):
        return f"{library} is a part of NVIDIA's driver, which a job on a CPU does not have: install a build for CPUs"
    # The names that Debian's policy gives to packages of libraries (section 8.1).
    package = re.sub(r"\.so(\.|$)", "", re.sub(r"([0-9])\.so\.", r"\1-", library)).replace("_", "-").lower()
    return (
        f"the environment lacks {library}, usually in Debian's package {package}. "
        f"Add to images/{image}/Dockerfile, after FROM: RUN apt-get update && apt-get install --yes "
        f"--no-install-recommends {package}. With the process engine, install the package on this machine"
    )


def _check_gpus(job: Job, start: Start) -> None:
    """Raise WrongGpu when the job does not see exactly the GPUs it was given."""
    given, seen = ({uuid.partition("-")[2].lower() for uuid in uuids} for uuids in (job.gpus, start.gpus))
    if job.device == "gpu" and given != seen:
        raise WrongGpu(f"the job was given {', '.join(job.gpus)} and sees {', '.join(start.gpus) or 'no GPU'}")


def _ended_by(number: int) -> tuple[FailureKind, str]:
    """The failure class and the message of a job that a signal ended."""
    if number in CRASHES:
        return "exception", f"the job crashed ({_signal_name(number)}): a fault of the framework or of the workload"
    return "killed", f"the job was ended by {_signal_name(number)}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
