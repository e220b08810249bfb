"""Which results are measurements of the same, and so share a row. Pure.

They are when everything but the repeat is the same: data, device, engine, precision, settings and machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from orchestrator.errors import StoreError
from orchestrator.record.results import Provenance, Result, gpu_models, gpus_of
from orchestrator.text import printable

NO_DATA = "no data"  # of a job that failed before it had any
NOWHERE = "no node"  # of a job that no node of a cluster could run
MAX_KNOWN = 4096  # kinds of results whose conditions are kept in words


def conditions_of(result: Result) -> dict[str, str]:
    """All that has to be equal for two results to be comparable, in words."""
    job, provenance = result.job, result.provenance
    data = provenance.data.label if provenance.data else NO_DATA
    workload = job.declaration
    others = {key: value for key, value in job.settings.items() if key not in workload.amounts}
    return {
        "data": data,
        "amount": workload.amount(job.settings),
        "device": job.device.upper() if job.device == "cpu" else "GPU",
        "gpu": _gpu(result),
        "engine": _engine(provenance),
        "precision": job.precision,
        "settings": ", ".join(f"{key} {value}" for key, value in others.items()),
        "seed": f"seed {job.seed}",
        "trace": f"slowed by tracing {job.trace} steps" if job.trace else "",
        "host": machine(provenance.host),
        "node": f"on {job.host}" if job.host else "",
    }


class Words:
    """`conditions_of` many results, put into words once for all that are alike."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], tuple[Provenance, dict[str, str]]] = {}

    def of(self, result: Result) -> dict[str, str]:
        """The conditions of a result; nobody may change them."""
        job = result.job
        planned = (job.workload, job.device, job.gpus, job.precision, job.seed, job.trace, job.host, repr(job.settings))
        key = (id(result.provenance), *planned)
        provenance, told = self._known.get(key, (None, {}))
        if provenance is not result.provenance:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            told = conditions_of(result)
            self._known[key] = result.provenance, told  # held, so that nothing else gets its id
        return told


def sound(results: Iterable[Result], where: str, complain: Callable[[StoreError], None]) -> Iterator[Result]:
    """The results that can be shown and compared: anybody can write a file whose digest is right.

    The others are told to `complain`; `where` says what they are from.
    """
    words = Words()
    for result in results:
        try:
            words.of(result)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            complain(
                StoreError(
                    f"{where}: {printable(result.job.id)}: not written by this program: "
                    f"{type(error).__name__}: {printable(str(error))}",
                    hint="only results that `orchestrator bench` wrote can be shown and compared",
                )
            )
        else:
            yield result


def grouped(results: Iterable[Result], ignore: Sequence[str] = ()) -> list[tuple[dict[str, str], list[Result]]]:
    """Results that differ in nothing but the repeat, together, with their conditions but for those to `ignore`."""
    groups: dict[tuple[str, ...], tuple[dict[str, str], list[Result]]] = {}
    alike: dict[tuple[str, int], list[Result]] = {}  # the same, by what is cheap to look at
    words, held = Words(), []
    for result in results:
        told = words.of(result)
        key = (result.job.framework, id(told))
        if key not in alike:
            held.append(told)  # so that nothing else gets its id
            conditions = {name: word for name, word in told.items() if name not in ignore}
            if "batches" in ignore:
                conditions["amount"] = f"batches of {result.job.settings['batch']}"
            alike[key] = groups.setdefault((result.job.framework, *conditions.values()), (conditions, []))[1]
        alike[key].append(result)
    return list(groups.values())


def split(conditions: Sequence[Mapping[str, str]]) -> tuple[list[str], list[str]]:
    """What all rows share, in words; and the names of what they do not.

    A job that failed before it had data, or a node, differs from the others in nothing for that.
    """
    values = {name: {row[name] for row in conditions} for name in conditions[0]}
    values = {name: told - {NO_DATA, NOWHERE} or told for name, told in values.items()}
    varying = [name for name in values if len(values[name]) > 1]
    return [word for name in values if name not in varying for word in values[name] if word], varying


def machine(host: Mapping[str, Any]) -> str:
    """The machine in words; its GPUs too, whether the job used them or not: both kinds of job share a row."""
    if not host:
        return NOWHERE
    names = Counter(str(gpu.get("name")) for gpu in gpus_of(host))
    cards = "".join(f", {count} x {name}" for name, count in names.items())
    return f"{host.get('cpu', 'unknown CPU')}, {len(host.get('cpus_used', ()))} CPUs{cards}"


def _engine(provenance: Provenance) -> str:
    """The engine in words: on a cluster, the node's."""
    if provenance.node is not None:
        beside = "" if provenance.node.exclusive else ", beside other jobs"
        return f"{provenance.node.engine} engine through {provenance.engine}{beside}"
    return f"{provenance.engine} engine" if provenance.host else NOWHERE


def _gpu(result: Result) -> str:
    """Which of its host's GPUs a job had, where they are not all alike."""
    if not result.job.gpus or len({str(gpu.get("name")) for gpu in gpus_of(result.provenance.host)}) < 2:
        return ""
    return ", ".join(gpu_models(result.job, result.provenance.host))
