"""What stands below a table: all that a reader of its figures has to know. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from orchestrator.host.neighbours import Neighbour
from orchestrator.judge import stats
from orchestrator.plan.workload import TrainingWorkload
from orchestrator.record.results import Result
from orchestrator.record.telemetry import Telemetry
from orchestrator.report.published import PublishedStudy

WORTH_TELLING = 0.02  # of the time a GPU was throttled, of a core that the orchestrator used: smaller shares are noise
STEADY = 5.0  # seconds; in shorter jobs the orchestrator's share is that of starting and ending them


def notes_of(
    results: Sequence[Result], study: PublishedStudy | None, ranked: Sequence[tuple[str, Sequence[float]]]
) -> tuple[str, ...]:
    """What a reader has to know; `ranked` is each row's label with the times that its place stands on, in order."""
    notes: dict[str, None] = {}  # a set that keeps its order
    if study is not None:
        notes[f"{study.title}: {study.source}, {study.hardware}"] = None
    sources = {result.provenance.data.source for result in results if result.provenance.data}
    if "synthetic" in sources and results[0].job.declaration.trains:
        notes["SYNTHETIC DATA: times are real, accuracy is not comparable with any published figure"] = None
    for result in results:
        told = [*(result.start.notes if result.start else ()), *doubts(result)]
        told += _cautions(result.telemetry) if result.telemetry else ()
        if result.status == "skipped" and result.failure is not None:
            told.append(f"skipped: {result.failure.message}")
        notes |= dict.fromkeys(f"{result.job.title}: {note}" for note in told)
    repeated = any(result.job.repeat > 1 for result in results)
    return (*notes, *_disturbances(results), *(_repeat_notes(ranked) if repeated else ()))


def expected(result: Result) -> tuple[float, float] | None:
    """The range of scores that real data should give, where the spec says one."""
    data = result.provenance.data
    return result.job.expected_score if data is not None and data.source != "synthetic" else None


def doubts(result: Result) -> list[str]:
    """Why the score of a result may be wrong."""
    band, score, workload = expected(result), result.figures.score, result.job.declaration
    if band is None or score is None or not isinstance(workload, TrainingWorkload) or band[0] <= score <= band[1]:
        return []
    scoring = workload.scoring
    low, high = (f"{scoring.shown(bound):.3g}" for bound in band)
    return [f"{scoring.name} of {scoring.text(score)} is not within the expected {low} to {high} {scoring.unit}"]


def _repeat_notes(ranked: Sequence[tuple[str, Sequence[float]]]) -> list[str]:
    """What the repeats tell: how figures are written, what was odd, which rows are ties."""
    few = f"of fewer than {stats.FEW}, half the distance between the lowest and the highest"
    odd = [f"{title}: {told}" for title, times in ranked if len(times) > 1 for told in stats.warnings(times)]
    tied = [f"not distinguishable: {' · '.join(titles)}" for titles in ties(ranked)]
    return [f"±: half the 95 % interval of the median of n repeats; {few}", *odd, *tied]


def ties(rows: Sequence[tuple[str, Sequence[float]]]) -> list[list[str]]:
    """Neighbours in a ranking whose first cannot be told from any of the others, each such group once.

    Groups may overlap: when a row is like the one before it and like the one after it, those two may still differ. A
    row measured once belongs to none, for nobody knows.
    """
    groups = []
    told = 0  # rows up to here are in a group already
    for first, (_, times) in enumerate(rows):
        if told > first + 1 and (told == len(rows) or not _alike(times, rows[told][1])):
            continue  # its group would end where the last one does
        end = first + 1
        while end < len(rows) and _alike(times, rows[end][1]):
            end += 1
        if end > max(told, first + 1):
            groups.append([title for title, _ in rows[first:end]])
            told = end
    return groups


def _alike(times: Sequence[float], later: Sequence[float]) -> bool:
    """Whether two rows of a ranking were both repeated and cannot be told apart."""
    return min(len(times), len(later)) > 1 and not stats.apart(later, times)


def _cautions(used: Telemetry) -> Iterator[str]:
    """What telemetry says that a reader of the figures should know."""
    for gpu in used.gpus:
        for reason, share in gpu.throttled.items():
            if share >= WORTH_TELLING:
                yield f"throttled: {reason} for {100 * share:.0f} % of the time"
    if used.orchestrator_cpus >= WORTH_TELLING and used.seconds >= STEADY:
        yield f"the orchestrator itself used {100 * used.orchestrator_cpus:.0f} % of a core"
    yield from (f"telemetry: {note}" for note in used.notes)


def _disturbances(results: Sequence[Result]) -> list[str]:
    """Which programs used the processors beside a row's jobs: a line for each, however many repeats it disturbed."""
    jobs = Counter(result.job.title for result in results)
    found: dict[tuple[str, str], list[Neighbour]] = {}
    for result in results:
        for neighbour in result.neighbours:
            found.setdefault((result.job.title, neighbour.name), []).append(neighbour)
    lines = []
    for (title, name), seen in found.items():
        cpus = max((neighbour.cpus for neighbour in seen if neighbour.cpus is not None), default=None)
        share = "the GPU" if cpus is None else f"{'up to ' if len(seen) > 1 else ''}{cpus:.1f} CPUs"
        during = f"during {len(seen)} of {jobs[title]} jobs" if jobs[title] > 1 else "meanwhile"
        lines.append(f"{title}: disturbed: {name} used {share} {during}")
    return lines
