"""Results → the study's three tables. Pure.

What is the same in all rows of a table stands above it; what differs becomes a column.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from orchestrator.judge import stats
from orchestrator.judge.conditions import SAMPLES, grouped, machine, split
from orchestrator.record.figures import Figures
from orchestrator.record.results import Result
from orchestrator.report import certified
from orchestrator.report.certified import Known, Mark
from orchestrator.report.notes import expected, notes_of
from orchestrator.report.published import PublishedStudy
from orchestrator.report.table import CellValue, Column, Doubtful, Measurement, Table

TITLES = {
    "cnn": "Training a CNN (VGG-style) on CIFAR-10: image recognition",
    "rnn": "Training an RNN (GRU) on IMDB: sentiment analysis",
    "resnet50": "Inference with ResNet-50: feature extraction",
}


def tables(results: Iterable[Result], reference: PublishedStudy, known: Known = certified.NONE) -> list[Table]:
    """One table per workload that occurs in `results`, in the study's order; `known` are the certificates there are."""
    found: dict[str, list[Result]] = {name: [] for name in TITLES}
    for result in results:
        found[result.job.workload].append(result)
    return [
        _inference(some, reference, known) if name == "resnet50" else _training(name, some, reference, known)
        for name, some in found.items()
        if some
    ]


def host_by_host(results: Iterable[Result]) -> list[Table]:
    """Same framework, different hosts: for each workload that ran on several, a column of speeds for each of them.

    Hosts are told apart by name where a run was made on each host of a cluster, else by what they are: CPU and GPUs.
    """
    found: dict[str, list[Result]] = {name: [] for name in TITLES}
    for result in results:
        if not result.provenance.host.is_empty:  # else no host could run it
            found[result.job.workload].append(result)
    return [_speeds(name, some) for name, some in found.items() if len(_hosts(some)) > 1]


def _host(result: Result) -> str:
    """What a host is called."""
    return result.job.host or machine(result.provenance.host)


def _hosts(results: Iterable[Result]) -> dict[str, str]:
    """What the hosts of results are called, and what they are."""
    return {_host(result): machine(result.provenance.host) for result in results}


def _by_host(results: Iterable[Result]) -> dict[str, list[Result]]:
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(_host(result), []).append(result)
    return found


def _speeds(workload: str, results: Sequence[Result]) -> Table:
    hosts = _hosts(results)
    rows = _ranked(grouped(results, ignore=("host", "node")))
    shared, varying = split([conditions for conditions, _ in rows])
    columns = [Column(title="DL Library"), *(Column(title=name) for name in varying)]
    columns += [Column(title=f"{SAMPLES[workload].capitalize()}/s on {host}", form=",.1f") for host in sorted(hosts)]
    return Table(
        title=f"{TITLES[workload]}, host by host",
        conditions=tuple(shared),
        columns=tuple(columns),
        rows=tuple(
            (
                same[0].job.title,
                *(conditions[name] for name in varying),
                *(_measured(found.get(host, ()), _speed) for host in sorted(hosts)),
            )
            for conditions, same in rows
            for found in [_by_host(same)]
        ),
        results=tuple(tuple(same) for _, same in rows),
        notes=tuple(f"{host}: {what}" for host, what in sorted(hosts.items()) if host != what),
        marks=(None,) * len(rows),
    )


def _speed(figures: Figures) -> float | None:
    """Samples per second, of the images or of the training."""
    return figures.images_per_s if figures.images_per_s is not None else figures.train_samples_per_s


def _training(workload: str, results: Sequence[Result], reference: PublishedStudy, known: Known) -> Table:
    rows = grouped(results)
    shared, varying = split([conditions for conditions, _ in rows])
    columns = [
        Column(title="DL Library"),
        *(Column(title=name) for name in varying),
        Column(title="Test accuracy (%)", form=".1f"),
        Column(title="Training time (s)", form=".1f"),
        Column(title=f"{SAMPLES[workload].capitalize()}/s", form=",.0f"),
    ]
    metered = any(_efficiency([result]) is not None for result in results)
    if metered:
        columns.append(Column(title=f"{SAMPLES[workload].capitalize()} per joule", form=",.2f"))
    if workload == "rnn":
        columns.append(Column(title="Fused kernel?"))
    columns += [
        Column(title=f"{reference.title} (%)", form=".0f"),
        Column(title=f"{reference.title} (s)", form=".0f"),
    ]
    if workload == "rnn":
        columns.append(Column(title=f"{reference.title} cuDNN?"))
    cells: list[tuple[CellValue, ...]] = []
    ranked = _ranked(rows)
    for conditions, same in ranked:
        accuracy = _measured(same, lambda figures: _per_cent(figures.accuracy))
        then = reference.training(workload, same[0].job.framework)
        row: list[CellValue] = [
            _title(same),
            *(conditions[name] for name in varying),
            _marked(accuracy, same),
            _measured(same, lambda figures: figures.ranking_s),
            _measured(same, lambda figures: figures.train_samples_per_s if figures.accuracy is not None else None),
        ]
        if metered:
            row.append(_efficiency(same))
        if workload == "rnn":
            row.append(_fused(same))
        row += [then.accuracy, then.seconds] if then else [None, None]
        if workload == "rnn":
            row.append(then.cudnn if then else None)
        cells.append(tuple(row))
    marks, notes = _marks_and_notes(results, ranked, varying, reference, known)
    return Table(
        title=TITLES[workload],
        conditions=tuple(shared),
        columns=tuple(columns),
        rows=tuple(cells),
        results=tuple(tuple(same) for _, same in ranked),
        notes=notes,
        marks=marks,
    )


def _inference(results: Sequence[Result], reference: PublishedStudy, known: Known) -> Table:
    """Images per second; a framework's GPU and CPU results stand in one row, as in the study."""
    rows = grouped(results, ignore=("device", "batches"))
    shared, varying = split([conditions for conditions, _ in rows])
    devices = [name for name in ("gpu", "cpu") if any(result.job.device == name for result in results)]
    metered = [Column(title="Images per joule", form=",.2f")] if any(_efficiency([each]) for each in results) else []
    columns = [
        Column(title="DL Library"),
        *(Column(title=name) for name in varying),
        *(Column(title=f"Images/s {device.upper()}", form=",.1f") for device in devices),
        *metered,
        *(Column(title=f"{reference.title} {device.upper()}", form=".0f") for device in ("gpu", "cpu")),
    ]
    cells: list[tuple[CellValue, ...]] = []
    ranked = _ranked(rows, devices[0])
    for conditions, same in ranked:
        then = reference.inference(same[0].job.framework)
        rates = [
            _measured([result for result in same if result.job.device == device], lambda figures: figures.images_per_s)
            for device in devices
        ]
        published = (then.gpu, then.cpu) if then else (None, None)
        energy = [_efficiency(same)] if metered else []
        cells.append((_title(same), *(conditions[name] for name in varying), *rates, *energy, *published))
    marks, notes = _marks_and_notes(results, ranked, varying, reference, known, devices[0])
    return Table(
        title=TITLES["resnet50"],
        conditions=tuple(shared),
        columns=tuple(columns),
        rows=tuple(cells),
        results=tuple(tuple(same) for _, same in ranked),
        notes=notes,
        marks=marks,
    )


def _marks_and_notes(
    results: Sequence[Result],
    ranked: Sequence[tuple[dict[str, str], list[Result]]],
    varying: Sequence[str],
    reference: PublishedStudy,
    known: Known,
    device: str | None = None,
) -> tuple[tuple[Mark | None, ...], tuple[str, ...]]:
    """The mark of each row of `ranked`, which is ranked by its times on `device`; all that stands below the table."""
    labels = [_label(*row, varying) for row in ranked]
    marks = tuple(certified.of_row(same, known) for _, same in ranked)
    times = [_times(same, device) for _, same in ranked]
    notes = notes_of(results, reference, list(zip(labels, times, strict=True)))
    return marks, (*certified.legend(zip(labels, marks, strict=True)), *notes)


def _ranked(
    rows: Sequence[tuple[dict[str, str], list[Result]]], device: str | None = None
) -> list[tuple[dict[str, str], list[Result]]]:
    """Rows in the order of their medians (on `device`), the fastest first; at the end those without one."""

    def key(row: tuple[dict[str, str], list[Result]]) -> tuple[bool, float]:
        times = _times(row[1], device)
        return not times, statistics.median(times) if times else 0.0

    return sorted(rows, key=key)


def _times(results: Sequence[Result], device: str | None = None) -> list[float]:
    """What the rows of a table rank by, one value for each successful repeat."""
    return [
        seconds
        for result in results
        if result.status == "ok" and device in {None, result.job.device}
        if (seconds := result.figures.ranking_s) is not None
    ]


def _measured(results: Sequence[Result], figure: Callable[[Any], float | None]) -> CellValue:
    """A figure of the successful results: as it is when there is one, else the median with its interval."""
    values = [value for result in results if result.status == "ok" and (value := figure(result.figures)) is not None]
    if len(values) < 2:
        return values[0] if values else None
    found = stats.summary(values)
    interval = found.interval or stats.Interval(low=found.median, high=found.median)
    return Measurement(median=found.median, low=interval.low, high=interval.high, n=found.n)


def _per_cent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _efficiency(results: Sequence[Result]) -> float | None:
    """Samples per joule of the GPU, the median; None where no energy was measured, which it is on GPUs only."""
    told = [result.telemetry.samples_per_joule for result in results if result.status == "ok" and result.telemetry]
    known = [value for value in told if value is not None]
    return statistics.median(known) if known else None


def _marked(accuracy: CellValue, results: Sequence[Result]) -> CellValue:
    """An accuracy in per cent, marked where it is none to be trusted."""
    band = expected(results[0])
    if band is None or not isinstance(accuracy, float | Measurement):
        return accuracy
    return accuracy if band[0] <= float(accuracy) / 100 <= band[1] else Doubtful(doubtful=accuracy)


def _title(results: Sequence[Result]) -> str:
    title = results[0].job.title
    if any(result.status == "ok" for result in results):
        return title
    kind = results[0].failure.kind if results[0].failure else results[0].status
    how = "skipped" if results[0].status == "skipped" else "failed"
    return f"{title} ({how}: {kind.replace('_', ' ')})"


def _label(conditions: Mapping[str, str], results: Sequence[Result], varying: Sequence[str]) -> str:
    """The title of a row with what tells it from other rows of that title."""
    return ", ".join([_title(results), *(conditions[name] for name in varying)])


def _fused(results: Sequence[Result]) -> str | None:
    told = [result.start.fused for result in results if result.start and result.start.fused is not None]
    return ("yes" if told[0] else "no") if told else None
