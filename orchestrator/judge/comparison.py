"""Two sets of results → what differs in how they came about, and which cells became slower or faster. Pure.

The ratio of a cell is B's time over A's, so that 1.10 means B is 10 % slower. What is not like for like gets no ratio:
a number that must not be compared is better not printed.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from orchestrator.judge import stats
from orchestrator.judge.conditions import conditions_of
from orchestrator.record import fingerprint
from orchestrator.record.results import Result, gpus_of
from orchestrator.text import MAX_CHARACTERS, printable

ComparisonWord = stats.RatioWord | Literal["not comparable"]

MAX_FACT = 4000  # characters that are compared; whoever shows a difference cuts it

CONDITIONS: Mapping[str, str] = {  # of report.rows.conditions_of
    "data": "dataset",
    "amount": "amount of work",
    "device": "device",
    "engine": "engine",
    "precision": "precision",
    "settings": "settings",
    "seed": "seed",
    "trace": "trace",
}
# Those that are one thing within a side, and may be another on the other side: which machine is faster is a question.
MACHINE: Mapping[str, str] = {"host": "host", "node": "node", "gpu": "GPU"}


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A fact of provenance that A and B do not share, and the cells it concerns."""

    what: str
    a: str
    b: str
    cells: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side of a cell. Times in seconds: of the training, or per image of inference."""

    framework: str
    times: tuple[float, ...]
    accuracy: float | None  # median, 0 to 1

    @property
    def summary(self) -> stats.Summary | None:
        """The times in a few numbers; None without any."""
        return stats.summary(self.times) if self.times else None


@dataclass(frozen=True, kw_only=True)
class ComparedCell:
    """One workload of one framework, or of the two frameworks compared."""

    name: str
    workload: str
    a: Side | None
    b: Side | None
    ratio: stats.Ratio | None
    word: ComparisonWord
    why: str  # empty for same, slower and faster

    @property
    def lost(self) -> bool:
        """Whether A has a time and B none: it failed, or is not there."""
        return bool(self.a and self.a.times) and not (self.b and self.b.times)

    def slower_than(self, limit: float) -> bool | None:
        """Whether B takes more than 1 + `limit` times as long as A; None when the interval does not decide."""
        interval = self.ratio.interval if self.ratio else None
        if interval is None or interval.low <= 1 + limit < interval.high:
            return None
        return interval.low > 1 + limit


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What `orchestrator compare` shows."""

    differences: tuple[Difference, ...]
    cells: tuple[ComparedCell, ...]
    warnings: tuple[str, ...]


def compare(a: Sequence[Result], b: Sequence[Result], margin: float) -> Comparison:
    """Compare two sets of results cell by cell; less than `margin` apart is the same.

    Cells are paired by framework, workload and device: by workload alone when each side has one framework, and without
    the device when each side has one, so that two frameworks, or a CPU and a GPU, can be compared.
    """
    one_each = all(len({result.job.framework for result in side}) == 1 for side in (a, b))
    by_device = any(len({result.job.device for result in side}) > 1 for side in (a, b))
    sides = [_cells(side, by_framework=not one_each, by_device=by_device) for side in (a, b)]
    names = list(dict.fromkeys([*sides[0], *sides[1]]))
    pairs = {name: (sides[0].get(name, []), sides[1].get(name, [])) for name in names}
    return Comparison(
        differences=_differences({name: pair for name, pair in pairs.items() if all(pair)}),
        cells=tuple(_cell(name, *pair, margin) for name, pair in pairs.items()),
        warnings=(
            *_machines(pairs),
            *(
                f"{side} {name}: {told}"
                for name, pair in pairs.items()
                for side, results in zip("AB", pair, strict=True)
                for told in _warnings(results)
            ),
        ),
    )


def facts_of(result: Result) -> dict[str, str]:
    """What may explain a difference: environment, code, machine and versions, in words."""
    provenance, start = result.provenance, result.start
    environment, host = provenance.environment, provenance.host
    facts: dict[str, Any] = {
        "image id": environment.get("id"),
        "image digests": environment.get("digests"),
        "base image": environment.get("base"),
        "image's files sha256": environment.get("recipe_sha256"),
        "lock sha256": environment.get("lock_sha256"),
        "interpreter": environment.get("interpreter"),
        "Python": environment.get("python"),
        "NVIDIA driver": host.get("driver"),
        "GPUs": [gpu.get("name") for gpu in gpus_of(host)],
        "GPU power limits": [limit for gpu in gpus_of(host) if (limit := gpu.get("power_limit")) is not None],
        "device": start.device_name if start else None,
        "machine id": host.get("id"),
        "CPU": host.get("cpu"),
        "CPUs used": host.get("cpus_used"),
        "memory": host.get("memory"),
        "kernel": host.get("kernel"),
        "system": host.get("system"),
        "Docker": host.get("docker"),
        "version of this program": provenance.code.get("version"),
        **_code_sha256(provenance.code),
        "git commit": provenance.code.get("git_commit"),
        "uncommitted changes": provenance.code.get("git_dirty"),
        "framework version": start.version if start else None,
        "threads": start.threads if start else None,
        "fused kernel": start.fused if start else None,
        "denormals": start.denormals if start else None,
    }
    facts |= {f"version of {name}": version for name, version in (start.versions if start else {}).items()}
    return {name: _text(value, MAX_FACT) for name, value in facts.items() if value not in (None, [], "")}


def _code_sha256(told: Mapping[str, Any]) -> dict[str, Any]:
    """The fingerprints of the workload code: of what the job is made of; of all, where no more is known."""
    parts = fingerprint.parts(told)
    if parts is None:
        return {"workload code sha256": told.get(fingerprint.WHOLE)}
    return {f"workloads/{name} sha256": digest for name, digest in parts.items()}


def _cells(results: Sequence[Result], *, by_framework: bool, by_device: bool) -> dict[str, list[Result]]:
    cells: dict[str, list[Result]] = {}
    for result in results:
        job = result.job
        name = [*([job.framework] if by_framework else []), job.workload, *([job.device] if by_device else [])]
        cells.setdefault(" ".join(name), []).append(result)
    return cells


def _cell(name: str, a: Sequence[Result], b: Sequence[Result], margin: float) -> ComparedCell:
    sides = _side(a), _side(b)
    why = _obstacle(a, b, *sides)
    found = None
    word: ComparisonWord = "not comparable"
    if not why and sides[0] and sides[1]:
        found = stats.ratio(sides[1].times, sides[0].times)
        word = stats.decide(found, margin)
        why = _doubt(found, margin, len(sides[0].times), len(sides[1].times)) if word == "undecided" else ""
    return ComparedCell(
        name=name, workload=(a or b)[0].job.workload, a=sides[0], b=sides[1], ratio=found, word=word, why=why
    )


def _side(results: Sequence[Result]) -> Side | None:
    if not results:
        return None
    good = [result.figures for result in results if result.status == "ok"]
    accuracies = [figures.accuracy for figures in good if figures.accuracy is not None]
    return Side(
        framework=results[0].job.framework,
        times=tuple(figures.ranking_s for figures in good if figures.ranking_s is not None),
        accuracy=statistics.median(accuracies) if accuracies else None,
    )


def _obstacle(a: Sequence[Result], b: Sequence[Result], side_a: Side | None, side_b: Side | None) -> str:
    """Why two cells must not be compared; empty when they may be."""
    for letter, results, side in (("A", a, side_a), ("B", b, side_b)):
        if side is None:
            return f"{letter} has no such cell"
        if not side.times:
            failure = next((result.failure for result in results if result.failure), None)
            return f"{letter} has no time for it" + (f": {failure.kind}: {_text(failure.message)}" if failure else "")
    conditions = [[_conditions(result) for result in results if result.status == "ok"] for results in (a, b)]
    reasons = []
    for name, title in {**CONDITIONS, **MACHINE}.items():
        values = [list(dict.fromkeys(told[name] for told in side)) for side in conditions]
        mixed = [letter for letter, found in zip("AB", values, strict=True) if len(found) > 1]
        if mixed:
            reasons.append(f"{title} varies within {' and '.join(mixed)}")
        elif values[0] != values[1] and name not in MACHINE:
            reasons.append(f"other {title} ({values[0][0] or 'none'} / {values[1][0] or 'none'})")
    contents = [{told["content"] for told in side} for side in conditions]
    if not reasons and contents[0] != contents[1]:
        reasons.append("data, weights or batch order have the same name and other content")
    return "; ".join(reasons)


def _conditions(result: Result) -> dict[str, str]:
    """What has to be equal, in words; `content` is that of the input files."""
    data = result.provenance.data
    content = f"{data.fingerprint} {sorted(data.inputs.items())}" if data else ""
    return {**{name: _text(told) for name, told in conditions_of(result).items()}, "content": content}


def _doubt(found: stats.Ratio, margin: float, n_a: int, n_b: int) -> str:
    """Why it is undecided, and what to do."""
    if found.interval is None:
        return f"{n_a} and {n_b} measurements are too few to tell: measure both with --repeats {stats.FEW} or more"
    return f"the difference is neither clear nor surely below {100 * margin:.3g} %: more repeats would tell"


def _machines(pairs: Mapping[str, tuple[Sequence[Result], Sequence[Result]]]) -> list[str]:
    """Whose ratio is also that of two machines."""
    told = {name: [{_machine(result) for result in side} for side in pair] for name, pair in pairs.items() if all(pair)}
    others = [name for name, (a, b) in told.items() if a != b]
    if not others:
        return []
    where = "" if len(others) == len(told) else f" ({', '.join(others)})"
    return [f"measured on different machines{where}: a ratio tells of machine and everything else together"]


def _machine(result: Result) -> tuple[str, ...]:
    told = conditions_of(result)
    return tuple(told[name] for name in MACHINE)


def _warnings(results: Sequence[Result]) -> list[str]:
    good = [result for result in results if result.status == "ok"]
    times = [result.figures.ranking_s for result in good if result.figures.ranking_s is not None]
    alike = len({tuple(conditions_of(result).values()) for result in good}) == 1  # else they are repeats of nothing
    told = stats.warnings(times) if alike and len(times) > 1 else []
    for result in good:
        steady = stats.steady(result.figures.part_seconds)
        if steady is not None and not steady.settled:
            parts = "epochs" if result.figures.epochs else "batches"
            told.append(f"repeat {result.job.repeat} never became steady: its {parts} kept growing slower or faster")
    return told


def _differences(pairs: Mapping[str, tuple[Sequence[Result], Sequence[Result]]]) -> tuple[Difference, ...]:
    found: dict[tuple[str, str, str], list[str]] = {}
    for name, pair in pairs.items():
        a, b = (_merged([facts_of(result) for result in results]) for results in pair)
        for what in dict.fromkeys([*a, *b]):
            if a.get(what) != b.get(what):
                found.setdefault((what, a.get(what, "–"), b.get(what, "–")), []).append(name)
    return tuple(Difference(what=what, a=a, b=b, cells=tuple(cells)) for (what, a, b), cells in found.items())


def _merged(facts: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The facts of all repeats; where they differ, each value once."""
    names = dict.fromkeys(name for each in facts for name in each)
    return {name: " / ".join(dict.fromkeys(each[name] for each in facts if name in each)) for name in names}


def _text(value: Any, limit: int = MAX_CHARACTERS) -> str:
    """A fact in words, cut at `limit` characters."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return printable(" ".join(map(str, value)) if isinstance(value, list | tuple) else str(value), limit)
