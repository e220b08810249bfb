"""Spec × catalog × device → the jobs of a run, fully resolved and frozen. Pure."""

from __future__ import annotations

import itertools
import random
import re
import shlex
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import pydantic
from pydantic import Field

from orchestrator.errors import UsageError
from orchestrator.host.machine import Gpu, find_gpu
from orchestrator.plan.catalog import COMMAND, Catalog, Framework, Image
from orchestrator.plan.spec import BANDS, Spec, WorkloadName
from orchestrator.plan.workload import Declaration, Device
from orchestrator.plan.workloads import WORKLOADS
from orchestrator.strict import Strict

PROTOCOL_VERSION = 2  # of workloads/common/PROTOCOL.md


class Place(NamedTuple):
    """Where every job of a run computes."""

    device: Device
    gpus: tuple[str, ...]  # UUIDs; none on a CPU
    host: str | None = None  # a node of a cluster


class Job(Strict):
    """One framework × workload × device × repeat. Everything that decides its outcome, but for the environment."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$")]  # also the name of its files
    framework: str
    title: str
    image: str
    module: str
    command: str = COMMAND  # as the image's label has it
    env: dict[str, str]
    workload: WorkloadName
    dataset: str
    device: Device
    gpus: tuple[str, ...] = ()  # UUIDs of those it gets; on a cluster known when it has its node
    host: str | None = None  # the one node of a cluster that may run it
    ranks: int = 1  # parts of a training batch that are computed at the same time
    repeat: int
    precision: str
    seed: int
    trace: int
    learning_curve: bool = False
    settings: dict[str, Any]
    timeout: float  # seconds
    accuracy: tuple[float, float] | None = None  # what real data should give, of a workload scored by accuracy
    loss: tuple[float, float] | None = None  # the same of one scored by a loss
    silence: float = 1800.0  # seconds without an event
    retries: int = 0
    memory: int | None  # bytes
    cpus: int | None

    @pydantic.field_validator("settings")
    @classmethod
    def _complete(cls, settings: dict[str, Any], info: pydantic.ValidationInfo) -> dict[str, Any]:
        """Add the settings that a job of an earlier version did not have yet."""
        workload = WORKLOADS.get(info.data.get("workload", ""))
        return {**(workload.earlier if workload else {}), **settings}

    @property
    def declaration(self) -> Declaration:
        """The declaration of the job's workload."""
        return WORKLOADS[self.workload]

    @property
    def expected_score(self) -> tuple[float, float] | None:
        """The lowest and the highest score that real data should give; None where the spec has no range."""
        return self.accuracy or self.loss

    @property
    def argv(self) -> tuple[str, ...]:
        """The command, the same in every engine; its first word is looked up in the environment."""
        words = shlex.split(self.command)
        return tuple(word.replace("{module}", self.module).replace("{workload}", self.workload) for word in words)

    def for_workload(self) -> dict[str, Any]:
        """The JSON document a workload reads: see workloads/common/PROTOCOL.md."""
        keys = ("framework", "workload", "device", "ranks", "precision", "seed", "trace", "learning_curve", "settings")
        return {"protocol": PROTOCOL_VERSION, **{key: getattr(self, key) for key in keys}}


def plan(
    spec: Spec, catalog: Catalog, device: Device, gpus: Sequence[Gpu] | None = (), hosts: Sequence[str] = ()
) -> list[Job]:
    """The jobs of `spec` in the order they run: round by round, so that drift hits every framework alike.

    With `repeats: auto` that is the first round only; rounds.py decides which follow. `gpus` are this machine's, of
    which the spec chooses. Raises UsageError when that one is not there, or when nothing is left to run.

    With `hosts`, names of nodes, every job is there once for each of them. On a cluster `gpus` is None: which GPU a job
    gets is known when it has its node (hosts.py).
    """
    rows = catalog.frameworks
    chosen = choose(gpus, spec.gpu, spec.ranks) if device == "gpu" and gpus is not None else ()
    places = [Place(device, chosen, host) for host in hosts or (None,)]
    names = spec.frameworks or tuple(rows)
    first = [
        _job(spec, *rows[name], workload, place)
        for workload in spec.workloads
        for name in names
        if workload in (rows[name][0].workloads if spec.ranks == 1 else rows[name][0].parallel)
        for place in places
    ]
    if not first and spec.ranks > 1:
        able = {name: framework.parallel for name, (framework, _) in rows.items() if framework.parallel}
        ways = "; ".join(f"{name}: {', '.join(workloads)}" for name, workloads in able.items())
        asked = ", ".join(spec.frameworks) or "the frameworks"
        raise UsageError(
            f"none of {asked} trains {', '.join(spec.workloads)} with several ranks",
            hint=f"leave `ranks` out; these can: {ways}" if ways else "leave `ranks` out",
        )
    if not first:
        raise UsageError(
            f"nothing to run: {', '.join(names)} has no {', '.join(spec.workloads)}",
            hint="`rosetta list` shows the workloads of each framework",
        )
    for job in first:
        if job.settings["batch"] % job.ranks:
            raise UsageError(
                f"{job.workload}: a batch of {job.settings['batch']} has no {job.ranks} equal parts, one for each rank",
                hint=f"--set {job.workload}.batch={job.ranks * max(1, job.settings['batch'] // job.ranks)}",
            )
    rounds = 1 if spec.repeats == "auto" else spec.repeats
    return [job for repeat in range(1, rounds + 1) for job in round_of(first, repeat)]


def round_of(first: Sequence[Job], repeat: int) -> list[Job]:
    """Round `repeat` of the jobs of the first round, or of some of them.

    Each round measures every framework once, so that a machine that grows slower does so for all of them. In a fixed
    order the same framework would always follow the same neighbour, and find the processor as hot and the caches as
    full as that one leaves them; so the order within a workload is drawn for each round, from the spec's seed.
    Workloads stay together: the rows of a table should be measured close in time. The first round keeps the order of
    the catalog, as expected of a run without repeats.
    """
    if repeat == 1:
        return list(first)
    jobs: list[Job] = []
    for workload, same in itertools.groupby(first, key=lambda job: job.workload):
        rows = list(same)
        random.Random(f"{rows[0].seed} {workload} {repeat}").shuffle(rows)  # noqa: S311  (an order, no secret)
        jobs += (
            job.model_copy(update={"id": _id(job.framework, workload, job.device, job.host, repeat), "repeat": repeat})
            for job in rows
        )
    return jobs


def choose(gpus: Sequence[Gpu], choice: str, ranks: int = 1) -> tuple[str, ...]:
    """UUIDs of the GPUs that a job gets, of those there are: one for each rank, from the chosen one on.

    Raises UsageError when they are not there, and when the job would get a GPU that it does not use.
    """
    if choice == "all":
        if len(gpus) != ranks:
            raise UsageError(
                f"`gpu: all` are {len(gpus)} GPUs here, and a job with {ranks} rank{'s'[: ranks > 1]} uses {ranks}",
                hint=f"--gpu 0, or --set ranks={len(gpus)} for a training on all of them",
            )
        return tuple(gpu.uuid for gpu in gpus)
    found = find_gpu(gpus, choice)
    if found is None:
        there = "; ".join(f"{index}: {gpu.name}, {gpu.uuid}" for index, gpu in enumerate(gpus))
        raise UsageError(f"there is no GPU {choice!r} here", hint=f"--gpu all, or one of {there}")
    chosen = [gpu.uuid for gpu in gpus[gpus.index(found) :][:ranks]]
    if len(chosen) < ranks:
        raise UsageError(
            f"{ranks} ranks need {ranks} GPUs, and from GPU {choice!r} on there are {len(chosen)}",
            hint=f"--set ranks={len(gpus)} and --gpu 0 use all that are here",
        )
    return tuple(chosen)


def _id(framework: str, workload: str, device: str, host: str | None, repeat: int) -> str:
    """The job's id, which is also a file's name and part of a container's."""
    where = f"{device}-{file_word(host)}" if host else device
    return f"{framework}-{workload}-{where}-{repeat}"


def file_word(host: str) -> str:
    """What stands for a host in the id of its jobs."""
    return re.sub("[^a-z0-9]+", "-", host.lower()).strip("-")


def _job(spec: Spec, framework: Framework, image: Image, workload: WorkloadName, place: Place) -> Job:
    settings = spec.settings_of(workload).for_device(place.device)
    bands = {name: settings.pop(name) for name in BANDS if name in settings}
    return Job(
        id=_id(framework.id, workload, place.device, place.host, 1),
        framework=framework.id,
        title=framework.title,
        image=image.name,
        module=framework.module,
        command=image.command,
        env=dict(framework.env),
        workload=workload,
        dataset=WORKLOADS[workload].dataset,
        device=place.device,
        gpus=place.gpus,
        host=place.host,
        ranks=spec.ranks,
        repeat=1,
        precision=spec.precision,
        seed=spec.seed,
        trace=spec.trace,
        learning_curve=spec.learning_curve,
        settings=settings,
        **bands,
        timeout=spec.limits.timeout,
        silence=spec.limits.silence,
        retries=spec.retries,
        memory=spec.limits.memory,
        cpus=spec.limits.cpus,
    )
