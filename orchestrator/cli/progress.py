"""Progress of a run on the terminal: a bar for each running job, and a line for each job that has ended."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from orchestrator import signals
from orchestrator.plan.jobs import Job
from orchestrator.plan.workload import TrainingWorkload
from orchestrator.record import events
from orchestrator.record.results import Result
from orchestrator.report import terminal

_log = logging.getLogger(__name__)
REFRESHES_PER_SECOND = 2  # drawing takes CPU time from the job


class _Field(ProgressColumn):
    """A value of the task, right-aligned in a column of fixed width."""

    def __init__(self, name: str, width: int) -> None:
        super().__init__()
        self._name = name
        self._width = width

    def render(self, task: Task) -> Text:
        return Text(str(task.fields.get(self._name, "")).rjust(self._width))


class _Details(logging.Handler):
    """Shows log messages of a preparation in its bar. Each node of a cluster has its own thread and bar."""

    def __init__(self, lanes: Sequence[_Lane]) -> None:
        super().__init__(logging.INFO)
        self._lanes = lanes

    def emit(self, record: logging.LogRecord) -> None:
        for lane in self._lanes if record.levelno == logging.INFO else ():
            if lane.thread == record.thread:
                lane.detail(self.format(record))


class LiveListener:
    """Draws the progress of a run: bars on a terminal, elsewhere one line per job. Implements Listener of run/."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            _Field("epoch", 6),
            _Field("loss", 11),
            _Field("rate", 14),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
            console=console,
            refresh_per_second=REFRESHES_PER_SECOND,
            transient=True,
        )
        self._lane = _Lane(console, self._progress)
        self.preparing = self._lane.preparing
        self.job_started, self.job_event = self._lane.job_started, self._lane.job_event
        self.job_finished = self._lane.job_finished
        self._lanes = [self._lane]
        self._details = _Details(self._lanes)

    def __enter__(self) -> LiveListener:  # noqa: PYI034  (Self is newer than Python 3.10)
        try:
            # Interrupted in here, a lock of the display could stay locked, and its thread would wait for ever.
            with signals.deferred():
                logging.getLogger("orchestrator").addHandler(self._details)
                self._progress.start()
        except KeyboardInterrupt:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        with signals.deferred():
            self._progress.stop()
            logging.getLogger("orchestrator").removeHandler(self._details)

    def lane(self, node: str) -> _Lane:
        """A bar of its own for each node of a cluster; without a name, the first bar."""
        if not node:
            return self._lane
        self._lanes.append(_Lane(self._console, self._progress, node=node))
        return self._lanes[-1]


class _Lane:
    """One bar: for what is being prepared, or for the running job. Implements Listener of run/."""

    def __init__(self, console: Console, progress: Progress, *, node: str = "") -> None:
        self._console = console
        self._progress = progress
        self._where = f"[dim]{escape(node)}[/dim] " if node else ""
        self._task: TaskID | None = None
        self._label = ""
        self.thread: int | None = None  # the thread that prepares something
        self._epoch_samples = 1

    def close(self) -> None:
        self._end()

    def preparing(self, what: str) -> None:
        _log.debug("preparing %s", what)
        self.thread = threading.get_ident()
        self._begin(f"{self._where}preparing {escape(what)}", total=None)

    def detail(self, line: str) -> None:
        """Show a line of output in place of what is being prepared."""
        if self._task is not None and (words := line.strip()[:70]):
            self._progress.update(self._task, description=f"{self._where}[dim]{escape(words)}[/dim]")

    def job_started(self, job: Job, number: int, total: int, epoch_samples: int | None) -> None:
        _log.debug("job %s starts, %d of %d", job.id, number, total)
        self.thread = None
        self._epoch_samples = epoch_samples or 1
        what = f"{escape(job.title)} {job.workload} on {job.device}"
        self._label = f"{self._where}[bold]\\[{number}/{total}][/bold] {what}"
        self._begin(self._label + " [dim]starting[/dim]", total=_work(job))

    def job_event(self, job: Job, event: events.Event) -> None:
        if self._task is None:
            return
        done = _done(event, self._epoch_samples)
        fields: dict[str, object] = {}
        match event:
            case events.Ready():
                self._begin(self._label, total=_work(job))
            case events.Step() | events.Epoch():
                fields = {"epoch": f"{event.epoch}/{job.settings['epochs']}", "loss": f"loss {event.loss:.4f}"}
                fields["rate"] = _rate(event.samples, event.seconds)
                if isinstance(event, events.Epoch) and event.epoch == job.settings["epochs"]:
                    fields["description"] = self._label + " [dim]scoring[/dim]"
            case events.Cold():
                fields = {"rate": _rate(event.samples, event.seconds)}
        self._progress.update(self._task, completed=done, **fields)  # type: ignore[arg-type]

    def job_finished(self, result: Result) -> None:
        _log.debug("job %s ends: %s", result.job.id, result.status)
        self._end()
        if result.failure is not None:
            self._console.print(terminal.failure(result))
        else:
            self._console.print(_summary(result))

    def _begin(self, description: str, *, total: float | None) -> None:
        self._end()
        self._task = self._progress.add_task(description, total=total, epoch="", loss="", rate="")

    def _end(self) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None


def _work(job: Job) -> float | None:
    """The whole of a job's bar: epochs, or the two passes over the images."""
    return float(job.settings["epochs"]) if job.declaration.trains else 2.0


def _done(event: events.Event, epoch_samples: int) -> float | None:
    """How far `event` is along the bar; None leaves it where it is."""
    match event:
        case events.Epoch():
            return float(event.epoch)
        case events.Step():
            return event.epoch - 1 + min(1.0, event.samples / epoch_samples)
        case events.Cold():
            return 1.0
        case events.Inference():
            return 2.0
    return None


def _rate(samples: int, seconds: float) -> str:
    return f"{samples / seconds:,.0f}/s" if seconds else ""


def _score(result: Result) -> list[str]:
    """The score of a training, with its unit."""
    workload, score = result.job.declaration, result.figures.score
    if score is None or not isinstance(workload, TrainingWorkload):
        return []
    return [f"{workload.scoring.name} {workload.scoring.text(score)}"]


def _summary(result: Result) -> Text:
    """One line for a job that succeeded."""
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
        ("✓ ", "bold green"), (f"{job.id:28}", "bold"), "  ", "  ".join(parts), (f"  ({result.seconds:.0f} s)", "dim")
    )
