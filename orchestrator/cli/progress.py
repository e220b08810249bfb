"""Progress of a run on the terminal: a bar over all jobs, a line for what each node does, and one for each ended job.

What calls a listener only leaves a note. One thread draws twice a second, so every clock goes on whatever a job does,
and a job that sends many events costs no more. Where there is no terminal, that thread prints a line now and then.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from orchestrator import activity, signals
from orchestrator.activity import Activity
from orchestrator.cli import progress_lines as lines
from orchestrator.cli.running_job import Estimates, RunningJob
from orchestrator.plan.jobs import Job
from orchestrator.plan.workload import TrainingWorkload
from orchestrator.record import events
from orchestrator.record.results import Result
from orchestrator.report import terminal

_log = logging.getLogger(__name__)
DRAW_SECONDS = 0.5  # between two pictures: drawing takes CPU time from the job
_WIDE = 80  # columns
LINE_SECONDS = 30.0  # between two lines where there is no terminal


class LiveListener:
    """Shows the progress of a run, or of other work that takes long. Implements Listener of run/."""

    def __init__(self, console: Console, *, log: Path | None = None, line_seconds: float = LINE_SECONDS) -> None:
        """`log` is the file with the output of builds."""
        self._console = console
        self._log = log
        self._live = Live(get_renderable=lambda: _Picture(self), console=console, auto_refresh=False, transient=True)
        self._drawn = console.is_terminal and not console.is_dumb_terminal
        self._pause = DRAW_SECONDS if self._drawn else line_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="progress", daemon=True)
        self._open = contextlib.ExitStack()
        self._began = time.monotonic()
        self._total = self._ended = 0
        self._waiting: dict[str, Job] = {}  # by id: planned, and not started
        self.estimates = Estimates()
        self._lane = _Lane(self, node="")
        self.preparing = self._lane.preparing
        self.job_finished = self._lane.job_finished
        self._lanes = [self._lane]

    def __enter__(self) -> LiveListener:  # noqa: PYI034  (Self is newer than Python 3.10)
        try:
            # Interrupted in here, a lock of the display could stay locked, and its thread would wait for ever.
            with signals.deferred():
                self._open.enter_context(activity.heard(self.hear))
                if self._drawn:
                    self._live.start()
                self._thread.start()
        except KeyboardInterrupt:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        with signals.deferred():
            self._over.set()
            if self._thread.is_alive():
                self._thread.join()
            self._live.stop()
            self._open.close()

    def planned(self, jobs: Sequence[Job]) -> None:
        """More jobs follow."""
        self._total += len(jobs)
        self._waiting.update({job.id: job for job in jobs})

    def lane(self, node: str) -> _Lane:
        """A line of its own for each node of a cluster; without a name, the first line."""
        if not node:
            return self._lane
        self._lanes.append(_Lane(self, node=node))
        return self._lanes[-1]

    def started(self, job: Job, number: int, total: int) -> None:
        """A job has started."""
        self._waiting.pop(job.id, None)
        if not self._drawn:
            self._say(f"{number} of {total}: {job.id} starts")

    def ended(self, result: Result) -> None:
        """A job has a result."""
        self._waiting.pop(result.job.id, None)
        self._ended += 1
        self.estimates.add(result)
        self._console.print(
            _summary(result, self._console.width) if result.failure is None else terminal.failure(result)
        )
        if self._log is not None and result.failure is not None and result.failure.kind == "build":
            self._console.print(Text(f"  all output of the build: {self._log}", style="dim"), soft_wrap=True)

    def picture(self, width: int, height: int, *, ascii_only: bool) -> Iterator[Text]:
        """The lines to be drawn: at most `height`, two of which stay free for what is printed above."""
        busy = self._busy()
        if self._total:
            pieces = lines.of_run(self._ended, self._total, time.monotonic() - self._began, self._seconds_left())
            yield lines.with_bar(pieces, self._part_done(), width, ascii_only=ascii_only)
        room = max(1, height - 4)
        for lane in busy if len(busy) <= room else busy[: room - 1]:
            yield lines.line(lane.pieces(), width)
        if len(busy) > room:
            yield Text(f"and {len(busy) - room + 1} more nodes", style="dim")

    def _busy(self) -> list[_Lane]:
        return [lane for lane in tuple(self._lanes) if lane.is_busy]

    def _part_done(self) -> float:
        running = [lane.running for lane in self._busy()]
        return min(1.0, (self._ended + sum(each.done for each in running if each)) / self._total)

    def _seconds_left(self) -> float | None:
        """About how long the run will still take; None unless something is known of all its jobs."""
        running = [each for lane in self._busy() if (each := lane.running)]
        alike = {(each.job.framework, each.job.workload): each.seconds_in_all() for each in running}
        left = [each.seconds_left() for each in running]
        left += [
            self.estimates.of(job) or alike.get((job.framework, job.workload)) for job in tuple(self._waiting.values())
        ]
        known = [each for each in left if each is not None]
        if len(known) < len(left) or not known:
            return None
        return max(sum(known) / max(1, len(running)), *known)

    def hear(self, reported: Activity | None) -> None:
        """Note what a lane's thread does."""
        for lane in tuple(self._lanes):
            if lane.thread == threading.get_ident():
                lane.doing(reported)

    def _tick(self) -> None:
        """Draw, or print a line, until the block ends."""
        while not self._over.wait(self._pause):
            if self._drawn:
                self._live.refresh()
            elif busy := self._busy():
                self._say(self._line(busy))

    def _line(self, busy: Sequence[_Lane]) -> str:
        """All in one line, for the log file of another program."""
        parts = [f"{len(busy)} nodes at work" if len(busy) > 1 else lines.words(busy[0].pieces())]
        if self._total > 1:
            pieces = lines.of_run(self._ended, self._total, time.monotonic() - self._began, self._seconds_left())
            parts.append(lines.words(pieces))
        return "; ".join(parts)

    def _say(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)


class _Picture:
    """What rich draws: the present state, in the present size of the terminal."""

    def __init__(self, listener: LiveListener) -> None:
        self._listener = listener

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self._listener.picture(options.max_width, console.height, ascii_only=options.ascii_only)


class _Lane:
    """What one node does: it prepares something, runs a job, or nothing. Implements Lane of run/."""

    def __init__(self, listener: LiveListener, *, node: str) -> None:
        self._listener = listener
        self._node = node
        self._what = ""
        self._since = 0.0
        self._activity: Activity | None = None
        self.thread: int | None = None  # the thread that prepares something
        self.running: RunningJob | None = None

    @property
    def is_busy(self) -> bool:
        return bool(self._what or self.running)

    def pieces(self) -> list[lines.Piece]:
        """The line of this node."""
        running, now = self.running, time.monotonic()
        if running is not None:
            return lines.of_job(running, now - running.began, self._node)
        if not self._what:
            return []
        return lines.of_preparation(self._what, self._activity, now - self._since, self._node)

    def close(self) -> None:
        self._what, self.thread, self.running, self._activity = "", None, None, None

    def preparing(self, what: str) -> None:
        _log.debug("preparing %s", what)
        self._activity, self.running = None, None
        self._what, self._since = what, time.monotonic()
        self.thread = threading.get_ident()

    def doing(self, reported: Activity | None) -> None:
        """Something that takes long is done in order to prepare something."""
        before, self._activity = self._activity, reported
        if reported is not None and (before is None or before.what != reported.what):
            self._since = time.monotonic()

    def job_started(self, job: Job, number: int, total: int, epoch_samples: int | None) -> None:
        _log.debug("job %s starts, %d of %d", job.id, number, total)
        self.close()
        self.running = RunningJob(job, epoch_samples, self._listener.estimates.of(job))
        self._listener.started(job, number, total)

    def job_event(self, job: Job, event: events.Event) -> None:  # noqa: ARG002
        if self.running is not None:
            self.running.take(event)

    def job_finished(self, result: Result) -> None:
        _log.debug("job %s ends: %s", result.job.id, result.status)
        self.close()
        self._listener.ended(result)


def _score(result: Result) -> list[str]:
    """The score of a training, with its unit."""
    workload, score = result.job.declaration, result.figures.score
    if score is None or not isinstance(workload, TrainingWorkload):
        return []
    return [f"{workload.scoring.name} {workload.scoring.text(score)}"]


def _summary(result: Result, width: int) -> Text:
    """One line for a job that succeeded; in a wide terminal its figures stand below each other."""
    figures, job = result.figures, result.job
    parts: Sequence[str]
    if figures.images_per_s is not None:
        parts = [f"{figures.images_per_s:,.1f} images/s"]
    else:
        parts = [
            *_score(result),
            f"{figures.train_s or 0:,.1f} s",
            f"{figures.train_samples_per_s or 0:,.0f}/s",
        ]
    return Text.assemble(
        ("✓ ", "bold green"),
        (job.id if width < _WIDE else f"{job.id:28}", "bold"),
        "  ",
        "  ".join(parts),
        (f"  ({result.seconds:.0f} s)", "dim"),
    )
