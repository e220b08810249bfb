"""Whether something other than the job itself made it slow, by what was measured beside it. Pure.

A disturbed result is marked, ranked after all others, and measured again by `repeats: auto`. It is found by counters,
never by its time, so leaving it out does not favour a result. docs/statistics.md gives the reasons for the thresholds.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.host.neighbours import Neighbour, notable_cpus
from orchestrator.judge import stats
from orchestrator.record.results import Result
from orchestrator.record.telemetry import MIN_COUNTED, Telemetry
from orchestrator.text import clip

STEAL = 0.02  # share of the CPUs' time; quiet runs on one machine differ by 2 % anyway
THROTTLED = 0.02  # likewise
STANDS_OUT = 0.2  # relative to the median: an epoch closer to it than this does not stand out
ENOUGH = 4  # epochs after the first, of which one may be unusual
MAX_PROGRAMS = 3  # named in a reason

Kind = Literal["others", "steal", "throttled", "program"]


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """Something that kept a job from its processors."""

    kind: Kind
    amount: float  # to find the worst of several repeats: CPUs, or a share
    text: str


@dataclass(frozen=True, kw_only=True)
class OddEpoch:
    """An epoch that took much longer or shorter than those beside it."""

    number: int  # from 1
    seconds: float
    usual: float  # median of all epochs but the first, or of those without other programs, in seconds
    others_cpus: float | None  # what other programs used meanwhile

    @property
    def text(self) -> str:
        """The epoch in one line."""
        text = f"epoch {self.number} took {self.seconds:,.1f} s, others {self.usual:,.1f} s (median)"
        if self.others_cpus is None:
            return text
        return f"{text}; other programs used {self.others_cpus:.2f} CPUs meanwhile"


def of(telemetry: Telemetry | None, neighbours: Sequence[Neighbour]) -> tuple[Disturbance, ...]:
    """What disturbed a job, from its telemetry and the programs that were seen beside it.

    An unknown figure gives no reason. Programs on CPUs are a reason only where their CPU time over the timed part is
    unknown, as in results of earlier versions. Pressure is none: the job's own threads cause it, too.
    """
    return (*(_counted(telemetry, neighbours) if telemetry else ()), *_programs(telemetry, neighbours))


def of_result(result: Result) -> tuple[Disturbance, ...]:
    """What disturbed the job of a result."""
    return of(result.telemetry, result.neighbours)


def is_disturbed(result: Result) -> bool:
    """Whether the times of a result must not be trusted."""
    return bool(of_result(result))


def counted(results: Sequence[Result]) -> list[Result]:
    """The successful results whose times count: the undisturbed ones; if there are none, all."""
    ended = [result for result in results if result.status == "ok"]
    return [result for result in ended if not is_disturbed(result)] or ended


def all_disturbed(results: Sequence[Result]) -> bool:
    """Whether there are successful results, and each of them was disturbed."""
    ended = [result for result in results if result.status == "ok"]
    return bool(ended) and all(map(is_disturbed, ended))


def odd_epochs(result: Result) -> list[OddEpoch]:
    """The epochs of a result that stand out, whatever was measured beside them; and those that others slowed down."""
    seconds = [epoch.seconds for epoch in result.figures.epochs]
    others = result.telemetry.others_by_part if result.telemetry else ()
    known = others if len(others) == len(seconds) else (None,) * len(seconds)
    given = (result.telemetry and result.telemetry.cpus_given) or 0
    found = {**dict(slowed_down(seconds, known, notable_cpus(given)) if given else ()), **dict(standing_out(seconds))}
    return [
        OddEpoch(number=index + 1, seconds=seconds[index], usual=usual, others_cpus=known[index])
        for index, usual in sorted(found.items())
    ]


def slowed_down(seconds: Sequence[float], others: Sequence[float | None], notable: float) -> list[tuple[int, float]]:
    """The indices of epochs in which other programs used `notable` CPUs, each with the median time of the quiet ones.

    `seconds` and `others`, the CPUs that other programs used, have one value for each epoch. Such an epoch is listed
    if it took 20 % longer than that median; so the first one counts, too, and two epochs are enough. Without a quiet
    epoch nothing is known.
    """
    quiet = [taken for taken, cpus in zip(seconds, others, strict=True) if cpus is not None and cpus < notable]
    if not quiet:
        return []
    usual = statistics.median(quiet)
    pairs = enumerate(zip(seconds, others, strict=True))
    return [
        (index, usual)
        for index, (taken, cpus) in pairs
        if cpus is not None and cpus >= notable and taken > usual * (1 + STANDS_OUT)
    ]


def standing_out(seconds: Sequence[float]) -> list[tuple[int, float]]:
    """The indices of epochs whose times (n,) stand out, each with the median time.

    An epoch stands out if it differs from the median by more than 20 % and by more than 3.5 times the robust spread.
    The first one does not count, because it includes compilation and cold caches. At least four others are needed. A
    job that gets slower from epoch to epoch has a large spread, so none of its epochs stands out.
    """
    later = seconds[1:]
    if len(later) < ENOUGH or min(later) <= 0:
        return []
    usual = statistics.median(later)
    allowed = max(STANDS_OUT, stats.OUTLIER * stats.robust_spread(later))
    return [(index, usual) for index, each in enumerate(later, start=1) if abs(each / usual - 1) > allowed]


def _counted(telemetry: Telemetry, neighbours: Sequence[Neighbour]) -> Iterator[Disturbance]:
    """The disturbances that counters of the kernel show."""
    when = "the timed part" if telemetry.over == "timed" else "the job"
    given, others = telemetry.cpus_given, telemetry.others_cpus
    if given and others is not None and others >= notable_cpus(given):
        own = "" if telemetry.cpus is None else f", the job {telemetry.cpus:.2f}"
        programs = [f"{clip(each.name)} {each.cpus:.2f}" for each in neighbours if each.cpus is not None]
        named = f" (over the whole job: {', '.join(programs[:MAX_PROGRAMS])})" if programs else ""
        cpus = f"{given} CPU{'s' if given > 1 else ''}"
        text = f"other programs used {others:.2f} of its {cpus} during {when}{own}{named}"
        yield Disturbance(kind="others", amount=others, text=text)
    if telemetry.steal is not None and telemetry.steal >= STEAL:
        text = f"other virtual machines had its CPUs for {100 * telemetry.steal:.0f} % of {when} (steal)"
        yield Disturbance(kind="steal", amount=telemetry.steal, text=text)
    if telemetry.throttled is not None and telemetry.throttled >= THROTTLED:
        text = f"a CPU quota stopped it for {100 * telemetry.throttled:.0f} % of {when} (throttled)"
        yield Disturbance(kind="throttled", amount=telemetry.throttled, text=text)


def _programs(telemetry: Telemetry | None, neighbours: Sequence[Neighbour]) -> Iterator[Disturbance]:
    """The programs that are disturbances by themselves."""
    for each in neighbours:
        if each.cpus is None:
            yield Disturbance(kind="program", amount=0.0, text=f"{each.name} used the GPU")
        elif programs_count(telemetry):
            yield Disturbance(kind="program", amount=each.cpus, text=f"{each.name} used {each.cpus:.1f} CPUs")


def programs_count(telemetry: Telemetry | None) -> bool:
    """Whether programs on CPUs are disturbances by themselves: nothing better is known, and the job was long enough."""
    return telemetry is None or (telemetry.others_cpus is None and telemetry.seconds >= MIN_COUNTED)
