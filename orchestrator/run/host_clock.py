"""Holds what a job says about time against the clock of the machine that it runs on.

Every event is stamped when it arrives, in seconds since the job began. A job's clock cannot run backwards or ahead of
that. The seconds that it reports for a piece of work must fit between the arrivals of two events: it cannot have worked
for longer than there was time, nor, within a timed part, have spent much of the time on something else.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from orchestrator.host.samples import Sample
from orchestrator.plan.jobs import Job
from orchestrator.plan.workload import Device
from orchestrator.record.events import Cold, Epoch, Event, Inference, Ready, Score, Violation

# How much an arrival may be late: output waits in pipes, and in a busy orchestrator. Where it was later than that, the
# sampler of the job was late, too, and that is known.
SLACK_SECONDS = 1.0
SLACK_SHARE = 0.05  # of the time between two arrivals, for clocks that run at different speeds
# What the timed parts may spend outside of their own clock, each and all together: reading the batch order, sending
# events. Honest jobs of all frameworks spent up to 0.3 s, and 0.001 s between two epochs.
UNTIMED_SECONDS = 2.0
UNTIMED_SHARE = 0.05
# Floating point operations a second that no machine reaches, whatever the precision: 100 times the fastest single GPU
# (about 2e16 in 4 bits), and 100 times the largest CPUs (about 1e14 in 8 bits). A rate beyond is no measurement.
MOST_OPERATIONS: dict[Device, float] = {"gpu": 2e18, "cpu": 1e16}
WITHIN_WORK = ("step", "artifact")  # events that end no piece of work
MOST_IN_A_CPU_SECOND = 5e14  # on one CPU: a hundred times what matrix units of servers do in 8 bits


class Claim(NamedTuple):
    """A piece of work: what the job says that it took, and the time between the arrivals around it."""

    what: str
    seconds: float
    between: float
    timed: bool  # whether the job had nothing else to do meanwhile


class HostClock:
    """Follows the events of one job."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._t = 0.0
        self._previous = 0.0  # when the last event arrived that ended a piece of work
        self._claims: list[Claim] = []
        self._operations = 0.0  # of all the work that was reported

    def add(self, event: Event, at: float) -> None:
        """Take an event that arrived at `at`. Raises Violation where no delay can explain its times."""
        if event.t < self._t:
            raise Violation(f"'t' runs backwards, from {self._t:,.10g} s to {event.t:,.10g} s in {event.event!r}")
        self._t = event.t
        if event.t > at * (1 + SLACK_SHARE) + SLACK_SECONDS:
            raise Violation(f"'t' of {event.event!r} is {event.t:,.10g} s, but the job began {at:,.2f} s before")
        if event.event in WITHIN_WORK:
            return
        if isinstance(event, Ready):
            self._claim("getting ready", event.load_s + event.build_s + event.compile_s, at)
        elif isinstance(event, Epoch):
            self._claim(f"epoch {event.epoch}", event.seconds, at, timed=not self._job.trace)
            self._check_rate(event.samples, event.seconds, passes=3)  # backward costs about twice as much as forward
        elif isinstance(event, Score | Cold | Inference):
            self._claim(f"the {event.event} pass", event.seconds, at, timed=isinstance(event, Inference))
            self._check_rate(event.samples, event.seconds)
        if isinstance(event, Cold | Inference):
            _check_batches(event)
        self._previous = at

    def check(self, samples: Sequence[Sample], cpus: int) -> None:
        """Raise Violation for work that does not fit.

        `samples` were taken beside the job, which had so many CPUs, by the same clock. Where one of them is late, so
        was every arrival: this program was stopped, or the machine stood still.
        """
        self._check_cpu_seconds(samples, cpus)
        times = [sample.t for sample in samples]
        late = max((after - before for before, after in itertools.pairwise(times)), default=0.0)
        for claim in self._claims:
            if claim.seconds > claim.between * (1 + SLACK_SHARE) + SLACK_SECONDS + late:
                raise Violation(
                    f"it reports {claim.seconds:,.10g} s for {claim.what}, but its events arrived within "
                    f"{claim.between:,.2f} s"
                )
        timed = [claim for claim in self._claims if claim.timed]
        total = Claim(
            "all epochs", sum(each.seconds for each in timed), sum(each.between for each in timed), timed=True
        )
        for claim in (*timed, total):
            untimed = claim.between - claim.seconds
            lateness = late * (len(timed) if claim is total else 1)
            if untimed > UNTIMED_SECONDS + lateness + UNTIMED_SHARE * claim.between:
                raise Violation(
                    f"it reports only {claim.seconds:,.10g} s for {claim.what}, but its events arrived "
                    f"{claim.between:,.2f} s apart"
                )

    def _claim(self, what: str, seconds: float, at: float, *, timed: bool = False) -> None:
        self._claims.append(Claim(what, seconds, at - self._previous, timed))

    def _check_cpu_seconds(self, samples: Sequence[Sample], cpus: int) -> None:
        """A job on CPUs must have used them for the work that it reports, as far as that was measured."""
        measured = [(sample.t, sample.cpu_seconds) for sample in samples if sample.cpu_seconds is not None]
        if self._job.device != "cpu" or not measured:
            return
        until, used = measured[-1]
        used += max(0.0, self._previous - until) * cpus  # what it can have used after the last sample
        if self._operations > used * MOST_IN_A_CPU_SECOND:
            raise Violation(
                f"it reports work of {self._operations:.1e} operations, but used at most {used:,.2f} CPU seconds; "
                f"no CPU does more than {MOST_IN_A_CPU_SECOND:.0e} in one"
            )

    def _check_rate(self, samples: int, seconds: float, *, passes: int = 1) -> None:
        operations = samples * passes * self._job.declaration.operations_for(self._job.settings)
        self._operations += operations
        most = MOST_OPERATIONS[self._job.device]
        if operations > most * seconds:
            raise Violation(
                f"{samples:,} {self._job.declaration.samples} in {seconds:.3g} s would be "
                f"{operations / seconds if seconds else float('inf'):.1e} operations a second; "
                f"no machine reaches {most:.0e}"
            )


def _check_batches(event: Cold | Inference) -> None:
    total = sum(event.batch_seconds)
    if total > event.seconds * (1 + SLACK_SHARE) + 1e-3:
        raise Violation(
            f"its batches took {total:,.10g} s together, but the {event.event} pass only {event.seconds:,.10g} s"
        )
