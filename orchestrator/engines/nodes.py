"""The nodes of a cluster: which may run a run's jobs, and what a job becomes on one of them. Pure."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from orchestrator.errors import HostError, UsageError
from orchestrator.host.machine import Host
from orchestrator.plan import compat
from orchestrator.plan.catalog import Image
from orchestrator.plan.jobs import Job, choose, file_word
from orchestrator.plan.spec import Hosts, LocalEngine, Spec
from orchestrator.plan.workload import Device
from orchestrator.record.results import Failure


@dataclass(frozen=True, kw_only=True)
class Node:
    """A machine of a cluster that can run jobs."""

    id: str  # the cluster's word for it
    name: str  # a person's
    host: Host
    engine: LocalEngine  # the node's own, which runs the jobs
    engine_facts: Mapping[str, Any]
    gpu_problem: str | None = None  # why that engine cannot give a job a GPU
    labels: Mapping[str, str]
    share: int | None = None  # which part of the machine this is, where jobs run side by side; `host` has that part
    memory: int | None = None  # bytes that a job on such a part may use, where it may not use all there is

    @property
    def place(self) -> str:
        """What tells it from all other nodes and parts of nodes."""
        return self.id if self.share is None else f"{self.id}/{self.share}"

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
            f"no node of the cluster is what the spec's `hosts` asks for; nodes: {there}",
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
            "hosts.exclusive: false, but not how many CPUs each of the jobs on a host gets",
            hint="say it: --set limits.cpus=4",
        )
    return [
        part
        for node in nodes
        for part in _parts(node, spec.limits.cpus, spec.limits.memory, by_gpu=spec.device != "cpu" and node.gpus > 0)
    ]


def _parts(node: Node, cpus: int, memory: int | None, *, by_gpu: bool) -> Iterator[Node]:
    """What `cpus` CPUs and `memory` make of a node; with `by_gpu`, a GPU and so many CPUs."""
    count = len(node.host.cpus) // cpus
    if memory:
        count = min(count, node.host.memory // memory)
    for share in range(min(count, node.gpus) if by_gpu else count):
        gpus = node.host.gpus[share : share + 1] if by_gpu else ()
        host = dataclasses.replace(node.host, cpus=node.host.cpus[share * cpus : (share + 1) * cpus], gpus=gpus)
        yield dataclasses.replace(node, host=host, share=share, memory=memory)


def names(nodes: Sequence[Node]) -> list[str]:
    """What the nodes are called. Raises HostError where two have one name: their results would be told of one.

    Names that the ids of jobs do not tell apart are one, too.
    """
    twice = [name for name, count in Counter(node.name for node in nodes).items() if count > 1]
    if twice:
        raise HostError(
            f"{twice[0]!r} is the name of several nodes of the cluster, so `each_host` cannot tell them apart",
            hint="give each a name of its own: ray start --node-name=NAME",
        )
    words: dict[str, str] = {}
    for node in nodes:
        other = words.setdefault(file_word(node.name), node.name)
        if other != node.name:
            raise HostError(
                f"{other!r} and {node.name!r} are too alike for names of files, so `each_host` cannot tell them apart",
                hint="give one another name, by letters or digits: ray start --node-name=NAME",
            )
    return [node.name for node in nodes]


def device(choice: Literal["auto", "cpu", "gpu"], nodes: Sequence[Node]) -> Device:
    """The device to run on; `auto` is the GPU where any of the nodes has one to give. Raises HostError."""
    if choice == "cpu":
        return "cpu"
    if any(node.gpus for node in nodes):
        return "gpu"
    if choice == "auto":
        return "cpu"
    problems = [f"{node.name}: {node.gpu_problem or 'no NVIDIA GPU, or no driver for it'}" for node in nodes]
    raise HostError(f"--device gpu, but no node has one to give: {'; '.join(problems)}", hint="use --device cpu")


def placed(job: Job, node: Node, spec: Spec, image: Image, *, judge: bool = True) -> Job | Failure:
    """The job as it runs on `node`, or why it cannot run there.

    Without `judge`, what the image carries is not held against the node's GPU: a person gave the environment.
    """
    if job.host not in {None, node.name} or not matches(node, spec.hosts):
        return Failure(kind="node", message=f"{node.name} is not the host of {job.id}")
    if job.device == "cpu":
        return job
    if not node.gpus:
        why = node.gpu_problem or "no NVIDIA GPU, or no driver for it"
        return Failure(kind="incompatible", message=f"{node.name}: {why}", hint="use --device cpu")
    try:
        chosen = choose(node.host.gpus, spec.gpu if node.share is None else "all")
    except UsageError as error:
        return Failure(kind="no_gpu", message=f"{node.name}: {error.message}", hint=error.hint)
    gpu = next(gpu for gpu in node.host.gpus if gpu.uuid == chosen[0])  # workloads compute on the first
    verdict = compat.verdict(image, node.host, gpu)
    if judge and not verdict.runs:
        return Failure(kind="incompatible", message=f"{node.name}: {verdict.reason}", hint=verdict.remedy)
    return job.model_copy(update={"gpus": chosen})


def skips(
    jobs: Iterable[Job], nodes: Sequence[Node], spec: Spec, images: Mapping[str, Image], given: Iterable[str] = ()
) -> dict[str, Failure]:
    """Those of `jobs` that no node can run, by id, and why; `images` are those of the jobs' frameworks."""
    unknown = set(given)
    found = {}
    for job in jobs:
        told = [placed(job, node, spec, images[job.framework], judge=job.image not in unknown) for node in nodes]
        reasons = [why for why in told if isinstance(why, Failure) and why.kind != "node"]
        if reasons and not any(isinstance(way, Job) for way in told):
            found[job.id] = reasons[0]
    return found


def kinds(nodes: Sequence[Node]) -> list[str]:
    """The kinds of machine among `nodes`, in words."""
    return sorted({node.host.title() for node in nodes})
