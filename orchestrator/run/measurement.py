"""When a job did the work that its speed is computed from, and what it used meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.engines.base import Observations
from orchestrator.host.samples import Timed, lines_of
from orchestrator.record.events import Epoch, Event, Inference, Step
from orchestrator.record.telemetry import Telemetry, summarise


class TimedPart:
    """Finds the timed part of a job: its epochs, or its inference pass.

    A workload's own clock measures how long an epoch took, not when. So an epoch that took s seconds and whose event
    arrived at t is taken to be the span from t - s to t; it cannot have begun before the event before it arrived.
    """

    def __init__(self) -> None:
        self.spans: list[Timed] = []
        self._previous = 0.0  # when the event before arrived

    def add(self, event: Event, at: float) -> None:
        """Take an event that arrived `at` seconds after the job began, by the clock of the machine that it runs on."""
        if isinstance(event, Step):
            return
        if isinstance(event, Epoch | Inference):
            self.spans.append(Timed(max(self._previous, at - event.seconds), at, event.samples))
        self._previous = at


def telemetry_of(seen: Observations, timed: TimedPart) -> tuple[Telemetry, list[Mapping[str, Any]]]:
    """The figures of a job's telemetry, and the lines of <job>.telemetry.jsonl."""
    source = seen.around.usage_source
    try:
        figures = summarise(seen.samples, seen.taken, timed.spans, seen.gpus, seen.around)
        return figures, list(lines_of(seen.samples, timed.spans, [uuid for uuid, _ in seen.gpus], source))
    except Exception as error:  # noqa: BLE001  (a figure that is missing is no reason to lose a job)
        note = f"there are no figures: {type(error).__name__}: {error}"[:300]
        return summarise([], 0, [], [], seen.around).model_copy(update={"notes": (*seen.around.notes, note)}), []
