"""Results → one table for each workload. Pure.

Conditions that are the same in all rows are listed above the table. The others become columns.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence

from orchestrator.judge import disturbances
from orchestrator.judge.conditions import Row, grouped, machine, split
from orchestrator.plan.workload import Declaration, InferenceWorkload, TrainingWorkload
from orchestrator.plan.workloads import WORKLOADS
from orchestrator.record.figures import Figures
from orchestrator.record.results import Result
from orchestrator.report import certified
from orchestrator.report.certified import Known, LegendLine, Mark
from orchestrator.report.columns import DEVICES, ColumnOfRows, inference_columns, timed, title_of, training_columns
from orchestrator.report.notes import notes_of
from orchestrator.report.published import PublishedStudy, Studies, study_of
from orchestrator.report.table import PUBLISHED, Column, Table


def tables(results: Iterable[Result], studies: Studies, known: Known = certified.NONE) -> list[Table]:
    """One table for each workload in `results`, in the declared order; `known` is what marks rest on."""
    return [
        _training(workload, some, study_of(name, studies), known)
        if isinstance(workload := WORKLOADS[name], TrainingWorkload)
        else _inference(workload, some, study_of(name, studies), known)
        for name, some in by_workload(results).items()
    ]


def by_workload(results: Iterable[Result]) -> dict[str, list[Result]]:
    """The results of each workload that has any, in the declared order."""
    found: dict[str, list[Result]] = {name: [] for name in WORKLOADS}
    for result in results:
        found[result.job.workload].append(result)
    return {name: some for name, some in found.items() if some}


def host_by_host(results: Iterable[Result]) -> list[Table]:
    """Compare hosts: for each workload that ran on several hosts, a table with one column of speeds per host.

    A host is identified by its name if the run used each host of a cluster, else by its CPU and GPUs.
    """
    # A result without a host belongs to a job that no host could run.
    found = by_workload(result for result in results if not result.provenance.host.is_empty)
    return [_speeds(WORKLOADS[name], some) for name, some in found.items() if len(_hosts(some)) > 1]


def _host(result: Result) -> str:
    """The name of a result's host, or else its CPU and GPUs."""
    return result.job.host or machine(result.provenance.host)


def _hosts(results: Iterable[Result]) -> dict[str, str]:
    """The hosts of results: name → CPU and GPUs."""
    return {_host(result): machine(result.provenance.host) for result in results}


def _by_host(results: Iterable[Result]) -> dict[str, list[Result]]:
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(_host(result), []).append(result)
    return found


def _speeds(workload: Declaration, results: Sequence[Result]) -> Table:
    hosts = _hosts(results)
    rows = _ranked(grouped(results, ignore=("host", "node")))
    shared, varying = split([conditions for conditions, _ in rows])
    columns = [Column(title="DL Library"), *(Column(title=name) for name in varying)]
    columns += [Column(title=f"{workload.samples.capitalize()}/s on {host}", form=",.1f") for host in sorted(hosts)]
    return Table(
        title=f"{workload.title}, host by host",
        conditions=tuple(shared),
        columns=tuple(columns),
        rows=tuple(
            (
                same[0].job.title,
                *(conditions[name] for name in varying),
                *(timed(found.get(host, ()), _speed) for host in sorted(hosts)),
            )
            for conditions, same in rows
            for found in [_by_host(same)]
        ),
        results=tuple(tuple(same) for _, same in rows),
        notes=tuple(f"{host}: {what}" for host, what in sorted(hosts.items()) if host != what),
        marks=(None,) * len(rows),
    )


def _speed(figures: Figures) -> float | None:
    """Samples per second, of the inference or else of the training."""
    return figures.images_per_s if figures.images_per_s is not None else figures.train_samples_per_s


def _training(
    workload: TrainingWorkload, results: Sequence[Result], study: PublishedStudy | None, known: Known
) -> Table:
    ranked = _ranked(grouped(results))
    shared, varying = split([conditions for conditions, _ in ranked])
    columns, shown = _with_figures(training_columns(workload, results, varying, study), ranked, study)
    marks, legend, notes = _marks_and_notes(results, ranked, varying, shown, known)
    return Table(
        title=workload.title,
        conditions=tuple(shared),
        columns=tuple(column for column, _ in columns),
        rows=tuple(tuple(cell(row) for _, cell in columns) for row in ranked),
        results=tuple(tuple(same) for _, same in ranked),
        notes=notes,
        marks=marks,
        legend=legend,
    )


def _inference(
    workload: InferenceWorkload, results: Sequence[Result], study: PublishedStudy | None, known: Known
) -> Table:
    """The table of samples per second; GPU and CPU results of a framework share a row, as in the study."""
    devices = [name for name in DEVICES if any(result.job.device == name for result in results)]
    ranked = _ranked(grouped(results, ignore=("device", "batches")), devices[0])
    shared, varying = split([conditions for conditions, _ in ranked])
    columns, shown = _with_figures(inference_columns(workload, results, varying, devices, study), ranked, study)
    marks, legend, notes = _marks_and_notes(results, ranked, varying, shown, known, devices[0])
    return Table(
        title=workload.title,
        conditions=tuple(shared),
        columns=tuple(column for column, _ in columns),
        rows=tuple(tuple(cell(row) for _, cell in columns) for row in ranked),
        results=tuple(tuple(same) for _, same in ranked),
        notes=notes,
        marks=marks,
        legend=legend,
    )


def _with_figures(
    columns: Sequence[ColumnOfRows], ranked: Sequence[Row], study: PublishedStudy | None
) -> tuple[list[ColumnOfRows], PublishedStudy | None]:
    """The columns without those of the study that have no figure in any row; the study, if any of them is left."""
    kept = [
        (column, cell)
        for column, cell in columns
        if column.rank != PUBLISHED or any(cell(row) is not None for row in ranked)
    ]
    return kept, study if any(column.rank == PUBLISHED for column, _ in kept) else None


def _marks_and_notes(
    results: Sequence[Result],
    ranked: Sequence[Row],
    varying: Sequence[str],
    study: PublishedStudy | None,
    known: Known,
    device: str | None = None,
) -> tuple[tuple[Mark | None, ...], tuple[LegendLine, ...], tuple[str, ...]]:
    """The mark of each row, their legend, and the notes; `ranked` is ranked by the times on `device`."""
    labels = [_label(*row, varying) for row in ranked]
    marks = tuple(certified.of_row(same, known) for _, same in ranked)
    times = [(label, _times(same, device)) for label, (_, same) in zip(labels, ranked, strict=True)]
    quiet = [each for each, (_, same) in zip(times, ranked, strict=True) if not _disturbed(same, device)]
    notes = notes_of(results, study, quiet)
    return marks, certified.legend(zip(labels, marks, strict=True)), notes


def _ranked(rows: Sequence[Row], device: str | None = None) -> list[Row]:
    """Rows by their median times (on `device`), the fastest first.

    Rows whose repeats were all disturbed come after those, and rows without a time come last.
    """

    def key(row: Row) -> tuple[bool, bool, float]:
        times = _times(row[1], device)
        return not times, _disturbed(row[1], device), statistics.median(times) if times else 0.0

    return sorted(rows, key=key)


def _times(results: Sequence[Result], device: str | None = None) -> list[float]:
    """The times that rank a row, one for each successful repeat that counts."""
    return [
        seconds
        for result in disturbances.counted(_on(results, device))
        if (seconds := result.figures.ranking_s) is not None
    ]


def _disturbed(results: Sequence[Result], device: str | None = None) -> bool:
    """Whether the times that rank a row are all of disturbed repeats."""
    return disturbances.all_disturbed(_on(results, device))


def _on(results: Sequence[Result], device: str | None) -> list[Result]:
    """The results on a device; all without one."""
    return [result for result in results if device in {None, result.job.device}]


def _label(conditions: Mapping[str, str], results: Sequence[Result], varying: Sequence[str]) -> str:
    """The title of a row with the conditions that distinguish it from rows with the same title."""
    return ", ".join([title_of(results), *(words for name in varying if (words := conditions[name]))])
