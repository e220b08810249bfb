"""The nodes of an engine: which of them a run may use, and what a job becomes on one of them."""

from __future__ import annotations

import dataclasses
import fnmatch
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from orchestrator.errors import HostError, UsageError
from orchestrator.host.machine import Host
from orchestrator.plan import compat
from orchestrator.plan.catalog import Image
from orchestrator.plan.jobs import Job, choose, file_word
from orchestrator.plan.spec import Hosts, Spec
from orchestrator.plan.workload import Device
from orchestrator.record.results import Failure

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Node:
    """A machine that can run jobs, or a part of one."""

    id: str  # the engine's name for it
    name: str  # what the user calls it
    host: Host
    engine: str  # the name of the node's own engine, which runs the jobs
    engine_facts: Mapping[str, Any]
    gpu_problem: str | None = None  # why that engine cannot give a job a GPU
    labels: Mapping[str, str]
    share: int | None = None  # number of this part of the machine, where jobs run side by side; `host` is that part
    memory: int | None = None  # bytes that a job on such a part may use, where it may not use all there is
    local: bool = False  # this machine, on which the orchestrator runs

    @property
    def place(self) -> str:
        """An identifier that no other node or part of a node has."""
        return self.id if self.share is None else f"{self.id}/{self.share}"

    @property
    def lane(self) -> str:
        """The name that is displayed; empty for this machine, which needs none because it is the only node."""
        return "" if self.local else self.name

    @property
    def gpus(self) -> int:
        """How many GPUs jobs may have."""
        return 0 if self.gpu_problem else len(self.host.gpus)


def select(nodes: Sequence[Node], wanted: Hosts) -> list[Node]:
    """Those of `nodes` that a spec wants, by name. Raises HostError when there is none."""
    by_name = sorted(nodes, key=lambda node: node.name)
    if not by_name:
        raise HostError("no node of the cluster can run jobs", hint="`ray status` lists its nodes; see docs/cluster.md")
    found = [node for node in by_name if matches(node, wanted)]
    if not found:
        there = "; ".join(f"{node.name}: {node.host.title()}" for node in by_name)
        raise HostError(
            f"no node of the cluster matches the spec's `hosts`; nodes: {there}",
            hint="correct `hosts`, or add nodes to the cluster (docs/cluster.md)",
        )
    return found


def matches(node: Node, wanted: Hosts) -> bool:
    """Whether a node is one that a spec wants."""
    return (
        (not wanted.names or any(fnmatch.fnmatchcase(node.name, pattern) for pattern in wanted.names))
        and (not wanted.gpu or any(wanted.gpu.lower() in gpu.name.lower() for gpu in node.host.gpus))
        and all(node.labels.get(key) == value for key, value in wanted.labels.items())
    )


def places(nodes: Iterable[Node], spec: Spec) -> list[Node]:
    """Where jobs can run at the same time: the nodes, or parts of them with `limits.cpus` CPUs, and a GPU, each.

    With `limits.memory` there are no more parts of a node than its memory is enough for.
    """
    if spec.hosts.exclusive:
        return list(nodes)
    if spec.limits.cpus is None:
        raise UsageError(
            "hosts.exclusive is false, but the spec does not say how many CPUs each of the jobs on a host gets",
            hint="add --set limits.cpus=4",
        )
    return [
        part
        for node in nodes
        for part in _parts(node, spec.limits.cpus, spec.limits.memory, gpus=_gpus_of_a_part(node, spec))
    ]


def _gpus_of_a_part(node: Node, spec: Spec) -> int:
    return spec.ranks if spec.device != "cpu" and node.gpus > 0 else 0


def _parts(node: Node, cpus: int, memory: int | None, *, gpus: int) -> Iterator[Node]:
    """A node divided into parts of `cpus` CPUs, `memory` and so many GPUs."""
    count = len(node.host.cpus_for(None)) // cpus
    if memory:
        count = min(count, node.host.usable_memory // memory)
    for share in range(min(count, node.gpus // gpus) if gpus else count):
        own = slice(share * gpus, (share + 1) * gpus)
        of_cpus = slice(share * cpus, (share + 1) * cpus)
        host = dataclasses.replace(node.host, cpus=node.host.cpus[of_cpus], gpus=node.host.gpus[own])
        yield dataclasses.replace(node, host=host, share=share, memory=memory)


def names(nodes: Sequence[Node]) -> list[str]:
    """The names of the nodes. Raises HostError where two have the same name, since their results would be mixed up.

    Names that become the same word in the ids of jobs count as the same.
    """
    twice = [name for name, count in Counter(node.name for node in nodes).items() if count > 1]
    if twice:
        raise HostError(
            f"{twice[0]!r} is the name of several nodes of the cluster, so `each_host` cannot distinguish them",
            hint="give each a name of its own: ray start --node-name=NAME",
        )
    words: dict[str, str] = {}
    for node in nodes:
        other = words.setdefault(file_word(node.name), node.name)
        if other != node.name:
            raise HostError(
                f"{other!r} and {node.name!r} are too alike for file names, so `each_host` cannot distinguish them",
                hint="give one another name, by letters or digits: ray start --node-name=NAME",
            )
    return [node.name for node in nodes]


def device(choice: Literal["auto", "cpu", "gpu"], nodes: Sequence[Node]) -> Device:
    """The device to run on; `auto` is the GPU where any of the nodes has one to give. Raises HostError."""
    if choice == "cpu":
        return "cpu"
    if any(node.gpus for node in nodes):
        return "gpu"
    problems = [_on(node, node.gpu_problem or "") for node in nodes if node.host.gpus]
    if choice == "auto":
        for problem in problems:
            _log.warning("%s; using the CPU", problem)
        return "cpu"
    reasons = problems + [f"{node.name} has no NVIDIA GPU (or no driver)" for node in nodes if not node.host.gpus]
    hint = "install the NVIDIA Container Toolkit, or use --engine process" if problems else "use --device cpu"
    raise HostError(f"--device gpu, but {'; '.join(reasons)}", hint=hint)


def placed(job: Job, node: Node, spec: Spec, image: Image, *, judge: bool = True) -> Job | Failure:
    """The job as it runs on `node`, or why it cannot run there.

    Without `judge`, the labels of the image are not compared with the node's GPU: the user gave the environment.
    """
    if job.host not in {None, node.name} or not matches(node, spec.hosts):
        return Failure(kind="node", message=f"{node.name} is not the host of {job.id}")
    if job.device == "cpu":
        return job
    gpus = _gpus_for(job, node, spec)
    if isinstance(gpus, Failure):
        return gpus
    for gpu in (gpu for gpu in node.host.gpus if gpu.uuid in gpus):
        verdict = compat.judged(job, image if judge else None, node.host, gpu)
        if not verdict.runs:
            return Failure(kind="incompatible", message=_on(node, verdict.reason), hint=verdict.remedy)
    return job.model_copy(update={"gpus": gpus})


def _gpus_for(job: Job, node: Node, spec: Spec) -> tuple[str, ...] | Failure:
    """The GPUs that `job` gets on `node`. A job that was planned for this machine has them already."""
    if job.gpus:
        missing = sorted(set(job.gpus) - {gpu.uuid for gpu in node.host.gpus})
        if missing:
            message = f"{node.name} has no GPU {', '.join(missing)}"
            return Failure(kind="no_gpu", message=message, hint="choose another with --gpu")
        return job.gpus
    if not node.gpus:
        why = node.gpu_problem or "no NVIDIA GPU, or no driver for it"
        return Failure(kind="incompatible", message=_on(node, why), hint="use --device cpu")
    try:
        return choose(node.host.gpus, spec.gpu if node.share is None else "all", job.ranks)
    except UsageError as error:
        return Failure(kind="no_gpu", message=_on(node, error.message), hint=error.hint)


def _on(node: Node, reason: str) -> str:
    """A reason with the name of the node, where there may be several."""
    return f"{node.lane}: {reason}" if node.lane else reason


def skips(
    jobs: Iterable[Job], nodes: Sequence[Node], spec: Spec, images: Mapping[str, Image], given: Iterable[str] = ()
) -> dict[str, Failure]:
    """Those of `jobs` that no node can run, by id, and why; `images` are those of the jobs' frameworks."""
    unlabelled = set(given)
    found = {}
    for job in jobs:
        ways = [placed(job, node, spec, images[job.framework], judge=job.image not in unlabelled) for node in nodes]
        reasons = [why for why in ways if isinstance(why, Failure) and why.kind != "node"]
        if reasons and not any(isinstance(way, Job) for way in ways):
            found[job.id] = reasons[0]
    return found


def kinds(nodes: Sequence[Node]) -> list[str]:
    """The kinds of machine among `nodes`, in words."""
    return sorted({node.host.title() for node in nodes})
