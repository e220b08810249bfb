"""Results → the study's three tables. Pure.

Results share a row only when everything but the repeat is the same: data, device, engine, precision, settings and
machine. What is the same in all rows of a table stands above it; what differs becomes a column.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator import stats
from orchestrator.figures import Figures
from orchestrator.neighbours import Neighbour
from orchestrator.report import certified
from orchestrator.report.certified import Known, Mark
from orchestrator.report.reference import Reference
from orchestrator.results import Provenance, Result
from orchestrator.telemetry import Telemetry


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A figure that was measured `n` times, n > 1: the median, and the interval that stats.summary gives for it."""

    median: float
    low: float
    high: float
    n: int

    def __float__(self) -> float:
        return self.median

    def show(self, form: str) -> str:
        """The median, half the interval's width, and n."""
        half = (self.high - self.low) / 2
        return f"{self.median:{form}} ± {half:{form if half >= 1 else '.2f'}} (n={self.n})"


@dataclass(frozen=True, kw_only=True)
class Doubtful:
    """A figure that was measured and is not to be trusted; the notes say why. Shown with an exclamation mark."""

    doubtful: float | Measurement

    def __float__(self) -> float:
        return float(self.doubtful)

    def show(self, form: str) -> str:
        """The figure and the mark."""
        return f"{Column(title='', form=form).show(self.doubtful)} !"


Cell = str | float | Measurement | Doubtful | None

TITLES = {
    "cnn": "Training a CNN (VGG-style) on CIFAR-10: image recognition",
    "rnn": "Training an RNN (GRU) on IMDB: sentiment analysis",
    "resnet50": "Inference with ResNet-50: feature extraction",
}
SAMPLES = {"cnn": "images", "rnn": "reviews", "resnet50": "images"}
WORTH_TELLING = 0.02  # of the time a GPU was throttled, of a core that the orchestrator used: smaller shares are noise
STEADY = 5.0  # seconds; in shorter jobs the orchestrator's share is that of starting and ending them
NO_DATA = "no data"  # of a job that failed before it had any
NOWHERE = "no node"  # of a job that no node of a cluster could run
# Settings that describe the amount of work; a table says them in words.
AMOUNTS = ("epochs", "batch", "train_samples", "test_samples", "batches")


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column and how its numbers are written (a format specification; "" for text)."""

    title: str
    form: str = ""

    def show(self, cell: Cell) -> str:
        """A cell as text; a dash where there is nothing."""
        if cell is None:
            return "–"
        if isinstance(cell, Measurement | Doubtful):
            return cell.show(self.form)
        return format(cell, self.form) if isinstance(cell, int | float) and self.form else str(cell)


@dataclass(frozen=True, kw_only=True)
class Table:
    """What every renderer shows."""

    title: str
    conditions: tuple[str, ...]  # what holds for all rows, in words
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    results: tuple[tuple[Result, ...], ...]  # those behind each row
    notes: tuple[str, ...]
    marks: tuple[Mark | None, ...]  # what certificates say of each row; `notes` say what the marks mean

    def texts(self) -> Iterator[list[str]]:
        """The rows as text, each title with its mark."""
        for row, mark in zip(self.rows, self.marks, strict=True):
            title, *others = (column.show(cell) for column, cell in zip(self.columns, row, strict=True))
            yield [title if mark is None else f"{title} {mark.symbol}", *others]


def tables(results: Iterable[Result], reference: Reference, known: Known = certified.NONE) -> list[Table]:
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
        if result.provenance.host:  # else no host could run it
            found[result.job.workload].append(result)
    return [_speeds(name, some) for name, some in found.items() if len(set(map(_host, some))) > 1]


def _host(result: Result) -> str:
    """What a host is called."""
    return result.job.host or _machine(result.provenance.host)


def _speeds(workload: str, results: Sequence[Result]) -> Table:
    hosts = {_host(result): _machine(result.provenance.host) for result in results}
    rows = _ranked(_rows(results, ignore=("host", "node")))
    shared, varying = _split([conditions for conditions, _ in rows])
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
                *(_measured([each for each in same if _host(each) == host], _speed) for host in sorted(hosts)),
            )
            for conditions, same in rows
        ),
        results=tuple(tuple(same) for _, same in rows),
        notes=tuple(f"{host}: {machine}" for host, machine in sorted(hosts.items()) if host != machine),
        marks=(None,) * len(rows),
    )


def _speed(figures: Figures) -> float | None:
    """Samples per second, of the images or of the training."""
    return figures.images_per_s if figures.images_per_s is not None else figures.train_samples_per_s


def _training(workload: str, results: Sequence[Result], reference: Reference, known: Known) -> Table:
    rows = _rows(results)
    shared, varying = _split([conditions for conditions, _ in rows])
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
    cells: list[tuple[Cell, ...]] = []
    ranked = _ranked(rows)
    for conditions, same in ranked:
        accuracy = _measured(same, lambda figures: _per_cent(figures.accuracy))
        then = reference.training(workload, same[0].job.framework)
        row: list[Cell] = [
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


def _inference(results: Sequence[Result], reference: Reference, known: Known) -> Table:
    """Images per second; a framework's GPU and CPU results stand in one row, as in the study."""
    rows = _rows(results, ignore=("device", "batches"))
    shared, varying = _split([conditions for conditions, _ in rows])
    devices = [name for name in ("gpu", "cpu") if any(result.job.device == name for result in results)]
    metered = [Column(title="Images per joule", form=",.2f")] if any(_efficiency([each]) for each in results) else []
    columns = [
        Column(title="DL Library"),
        *(Column(title=name) for name in varying),
        *(Column(title=f"Images/s {device.upper()}", form=",.1f") for device in devices),
        *metered,
        *(Column(title=f"{reference.title} {device.upper()}", form=".0f") for device in ("gpu", "cpu")),
    ]
    cells: list[tuple[Cell, ...]] = []
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
    reference: Reference,
    known: Known,
    device: str | None = None,
) -> tuple[tuple[Mark | None, ...], tuple[str, ...]]:
    """The mark of each row of `ranked`, which is ranked by its times on `device`; all that stands below the table."""
    labels = [_label(*row, varying) for row in ranked]
    marks = tuple(certified.of_row(same, known) for _, same in ranked)
    times = [_times(same, device) for _, same in ranked]
    notes = _notes(results, reference, list(zip(labels, times, strict=True)))
    return marks, (*certified.legend(zip(labels, marks, strict=True)), *notes)


def conditions_of(result: Result) -> dict[str, str]:
    """All that has to be equal for two results to be comparable, in words."""
    job, provenance = result.job, result.provenance
    data = provenance.data.label if provenance.data else NO_DATA
    others = {key: value for key, value in job.settings.items() if key not in AMOUNTS}
    return {
        "data": data,
        "amount": _amount(job.workload, job.settings),
        "device": job.device.upper() if job.device == "cpu" else "GPU",
        "engine": _engine(provenance),
        "precision": job.precision,
        "settings": ", ".join(f"{key} {value}" for key, value in others.items()),
        "seed": f"seed {job.seed}",
        "host": _machine(provenance.host),
        "node": f"on {job.host}" if job.host else "",
    }


def _engine(provenance: Provenance) -> str:
    """The engine in words: on a cluster, the node's."""
    if provenance.node is not None:
        beside = "" if provenance.node.exclusive else ", beside other jobs"
        return f"{provenance.node.engine} engine through {provenance.engine}{beside}"
    return f"{provenance.engine} engine" if provenance.host else NOWHERE


def _machine(host: Mapping[str, Any]) -> str:
    """The machine in words; its GPUs too, whether the job used them or not: both kinds of job share a row."""
    if not host:
        return NOWHERE
    gpus = host.get("gpus")  # a file may say anything
    names = Counter(str(gpu.get("name")) for gpu in gpus if isinstance(gpu, dict)) if isinstance(gpus, list) else {}
    cards = "".join(f", {count} x {name}" for name, count in names.items())
    return f"{host.get('cpu', 'unknown CPU')}, {len(host.get('cpus_used', ()))} CPUs{cards}"


def _rows(results: Sequence[Result], ignore: Sequence[str] = ()) -> list[tuple[dict[str, str], list[Result]]]:
    """Results that differ in nothing but the repeat, together."""
    groups: dict[tuple[Any, ...], tuple[dict[str, str], list[Result]]] = {}
    for result in results:
        conditions = {key: value for key, value in conditions_of(result).items() if key not in ignore}
        if "batches" in ignore:
            conditions["amount"] = f"batches of {result.job.settings['batch']}"
        key = (result.job.framework, *conditions.values())
        groups.setdefault(key, (conditions, []))[1].append(result)
    return list(groups.values())


def _split(conditions: Sequence[Mapping[str, str]]) -> tuple[list[str], list[str]]:
    """What all rows share, in words; and the names of what they do not.

    A job that failed before it had data, or a node, differs from the others in nothing for that.
    """
    values = {name: {row[name] for row in conditions} for name in conditions[0]}
    values = {name: told - {NO_DATA, NOWHERE} or told for name, told in values.items()}
    varying = [name for name in values if len(values[name]) > 1]
    return [word for name in values if name not in varying for word in values[name] if word], varying


def _amount(workload: str, settings: Mapping[str, Any]) -> str:
    if workload == "resnet50":
        return f"{settings['batches']} batches of {settings['batch']}"
    samples = settings["train_samples"]
    epochs = settings["epochs"]
    parts = [f"{epochs} epoch{'s' if epochs > 1 else ''} of {f'{samples:,}' if samples else 'all'} {SAMPLES[workload]}"]
    if settings["test_samples"]:
        parts.append(f"scored on {settings['test_samples']:,}")
    return ", ".join([*parts, f"batch {settings['batch']}"])


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


def _measured(results: Sequence[Result], figure: Callable[[Any], float | None]) -> Cell:
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


def expected(result: Result) -> tuple[float, float] | None:
    """The accuracy that real data should give, where that can be said."""
    data = result.provenance.data
    return result.job.accuracy if data is not None and data.source != "synthetic" else None


def _marked(accuracy: Cell, results: Sequence[Result]) -> Cell:
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


def _notes(
    results: Sequence[Result], reference: Reference, ranked: Sequence[tuple[str, Sequence[float]]]
) -> tuple[str, ...]:
    """What a reader has to know; `ranked` is each row's label with the times that its place stands on, in order."""
    notes = [f"{reference.title}: {reference.source}, {reference.hardware}"]
    sources = {result.provenance.data.source for result in results if result.provenance.data}
    if "synthetic" in sources and results[0].job.workload != "resnet50":
        notes.append("SYNTHETIC DATA: times are real, accuracy is not comparable with any published figure")
    for result in results:
        told = [*(result.start.notes if result.start else ()), *doubts(result)]
        told += _cautions(result.telemetry) if result.telemetry else ()
        if result.status == "skipped" and result.failure is not None:
            told.append(f"skipped: {result.failure.message}")
        for note in told:
            line = f"{result.job.title}: {note}"
            if line not in notes:
                notes.append(line)
    notes += _disturbances(results)
    return (*notes, *_repeat_notes(ranked)) if any(result.job.repeat > 1 for result in results) else tuple(notes)


def _repeat_notes(ranked: Sequence[tuple[str, Sequence[float]]]) -> list[str]:
    """What the repeats tell: how figures are written, what was odd, which rows are ties."""
    few = f"of fewer than {stats.FEW}, half the distance between the lowest and the highest"
    odd = [f"{title}: {told}" for title, times in ranked if len(times) > 1 for told in stats.warnings(times)]
    ties = [f"not distinguishable: {' · '.join(titles)}" for titles in _ties(ranked)]
    return [f"±: half the 95 % interval of the median of n repeats; {few}", *odd, *ties]


def _ties(rows: Sequence[tuple[str, Sequence[float]]]) -> list[list[str]]:
    """Neighbours in a ranking whose first cannot be told from any of the others, each such group once.

    Groups may overlap: when a row is like the one before it and like the one after it, those two may still differ. A
    row measured once belongs to none, for nobody knows.
    """
    groups = []
    told = 0
    for first, (_, times) in enumerate(rows):
        end = first + 1
        while end < len(rows) and min(len(times), len(rows[end][1])) > 1:
            if stats.distinguishable(stats.ratio(rows[end][1], times)):
                break
            end += 1
        if end > max(told, first + 1):
            groups.append([title for title, _ in rows[first:end]])
            told = end
    return groups


def doubts(result: Result) -> list[str]:
    """Why the accuracy of a result may be none to be trusted."""
    band, accuracy = expected(result), result.figures.accuracy
    if band is None or accuracy is None or band[0] <= accuracy <= band[1]:
        return []
    low, high = (f"{100 * bound:.3g}" for bound in band)
    return [f"accuracy of {100 * accuracy:.1f} % is not within the {low} to {high} % to be expected"]


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
