"""The notes below a table: where its figures come from, and what may be wrong with them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from orchestrator.host.neighbours import Neighbour
from orchestrator.judge import disturbances, stats
from orchestrator.judge.disturbances import Disturbance
from orchestrator.plan.workload import TrainingWorkload
from orchestrator.record.results import Result
from orchestrator.record.telemetry import Telemetry
from orchestrator.report.published import PublishedStudy

# Shares below this are noise: of the time in which a GPU was throttled, of the core that the orchestrator used.
MIN_SHARE = 0.02
MAX_EPOCHS = 3  # of a job that are named because they stand out
STEADY = 5.0  # seconds; in shorter jobs, starting and stopping the job dominates the orchestrator's share


def notes_of(
    results: Sequence[Result], study: PublishedStudy | None, ranked: Sequence[tuple[str, Sequence[float]]]
) -> tuple[str, ...]:
    """All notes of a table; `ranked` has each undisturbed row's label and the times that rank it, the fastest first."""
    notes: dict[str, None] = {}  # a set that keeps its order
    if study is not None:
        notes[f"{study.title}: {study.source}, {study.hardware}"] = None
    sources = {result.provenance.data.source for result in results if result.provenance.data}
    if "synthetic" in sources and results[0].job.declaration.trains:
        notes["SYNTHETIC DATA: times are real, accuracy is not comparable with any published figure"] = None
    for result in results:
        texts = [*(result.start.notes if result.start else ()), *doubts(result), *_odd_epochs(result)]
        texts += _cautions(result.telemetry) if result.telemetry else ()
        if result.status == "skipped" and result.failure is not None:
            texts.append(f"skipped: {result.failure.message}")
        notes |= dict.fromkeys(f"{result.job.title}: {note}" for note in texts)
    repeated = any(len(times) > 1 for _, times in ranked)
    return (*notes, *_disturbances(results), *(_repeat_notes(ranked) if repeated else ()))


def expected(result: Result) -> tuple[float, float] | None:
    """The range of scores that the spec expects from real data; None if it has no range, or the data is not real."""
    data = result.provenance.data
    return result.job.expected_score if data is not None and data.source != "synthetic" else None


def doubts(result: Result) -> list[str]:
    """Why the score of a result may be wrong."""
    band, score, workload = expected(result), result.figures.score, result.job.declaration
    if band is None or score is None or not isinstance(workload, TrainingWorkload) or band[0] <= score <= band[1]:
        return []
    scoring = workload.scoring
    low, high = (f"{scoring.shown(bound):.3g}" for bound in band)
    text = f"{scoring.name} of {scoring.text(score)} is not within the expected {low} to {high} {scoring.unit}"
    data = result.provenance.data
    if data is not None and data.source != "official":  # a copy may differ, as one whose images went through JPEG does
        text += f", a range of the spec; it may be one of the official data, and these are {data.label}"
    return [text]


def _repeat_notes(ranked: Sequence[tuple[str, Sequence[float]]]) -> list[str]:
    """Notes on repeats: how figures are written, unusual values, and rows that are ties."""
    few = f"with fewer than {stats.FEW} repeats, half the distance between the lowest and the highest"
    odd = [f"{title}: {text}" for title, times in ranked if len(times) > 1 for text in stats.warnings(times)]
    tied = [f"not distinguishable: {' · '.join(titles)}" for titles in ties(ranked)]
    return [f"±: half the 95 % interval of the median of n repeats; {few}", *odd, *tied]


def ties(rows: Sequence[tuple[str, Sequence[float]]]) -> list[list[str]]:
    """Groups of consecutive rows in a ranking: the first row of a group is not distinguishable from any other in it.

    Groups may overlap: the rows before and after a row may differ from each other although neither differs from it. A
    row that was measured once is in no group, because its variation is unknown.
    """
    groups = []
    previous_end = 0  # index after the last row of the previous group
    for first, (_, times) in enumerate(rows):
        if previous_end > first + 1 and (previous_end == len(rows) or not _tied(times, rows[previous_end][1])):
            continue  # its group would be part of the previous one
        end = first + 1
        while end < len(rows) and _tied(times, rows[end][1]):
            end += 1
        if end > max(previous_end, first + 1):
            groups.append([title for title, _ in rows[first:end]])
            previous_end = end
    return groups


def _tied(times: Sequence[float], later: Sequence[float]) -> bool:
    """Whether two rows of a ranking were both repeated and are not distinguishable."""
    return min(len(times), len(later)) > 1 and not stats.apart(later, times)


def _cautions(used: Telemetry) -> Iterator[str]:
    """Notes on what telemetry found: throttling, load of the orchestrator, problems of the telemetry itself."""
    for gpu in used.gpus:
        for reason, share in gpu.throttled.items():
            if share >= MIN_SHARE:
                yield f"throttled: {reason} for {100 * share:.0f} % of the time"
    if used.orchestrator_cpus >= MIN_SHARE and used.seconds >= STEADY:
        yield f"the orchestrator itself used {100 * used.orchestrator_cpus:.0f} % of a core"
    yield from (f"telemetry: {note}" for note in used.notes)


def _disturbances(results: Sequence[Result]) -> list[str]:
    """What disturbed the jobs of a row: one line for each program that is a reason by itself, and each counter."""
    jobs = Counter(result.job.title for result in results)
    lines = []
    for title in jobs:
        own = [result for result in results if result.job.title == title]
        disturbed = sum(map(disturbances.is_disturbed, own))
        lines += [f"{title}: disturbed: {text}" for text in (*_worst(own), *_programs(own))]
        if 0 < disturbed < len(own):
            lines.append(
                f"{title}: {disturbed} of {len(own)} jobs {'were' if disturbed > 1 else 'was'} disturbed: "
                "times are those of the others"
            )
    return lines


def _worst(results: Sequence[Result]) -> list[str]:
    """The largest disturbance of each kind that counters show in the repeats of a row."""
    found: dict[str, list[Disturbance]] = {}
    for result in results:
        for each in disturbances.of_result(result):
            if each.kind != "program":
                found.setdefault(each.kind, []).append(each)
    worst = ((max(some, key=lambda each: each.amount), len(some)) for some in found.values())
    return [
        each.text if len(results) == 1 else f"{each.text} (the worst of {count} of {len(results)} jobs)"
        for each, count in worst
    ]


def _programs(results: Sequence[Result]) -> list[str]:
    """Programs on the GPUs, and on the CPUs where nothing better than their CPU time is known."""
    found: dict[str, list[Neighbour]] = {}
    for result in results:
        for neighbour in result.neighbours:
            if neighbour.cpus is None or disturbances.programs_count(result.telemetry):
                found.setdefault(neighbour.name, []).append(neighbour)
    lines = []
    for name, seen in found.items():
        cpus = max((neighbour.cpus for neighbour in seen if neighbour.cpus is not None), default=None)
        share = "the GPU" if cpus is None else f"{'up to ' if len(seen) > 1 else ''}{cpus:.1f} CPUs"
        during = f"during {len(seen)} of {len(results)} jobs" if len(results) > 1 else "during the job"
        lines.append(f"{name} used {share} {during}")
    return lines


def _odd_epochs(result: Result) -> Iterator[str]:
    """The epochs that stand out."""
    repeat = f"repeat {result.job.repeat}: " if result.job.repeat > 1 else ""
    odd = disturbances.odd_epochs(result)
    yield from (f"{repeat}{epoch.text}" for epoch in odd[:MAX_EPOCHS])
    if len(odd) > MAX_EPOCHS:
        yield f"{repeat}{len(odd) - MAX_EPOCHS} more epochs stand out"
