"""The main job: a spec becomes a plan, the plan runs, its results are stored. All of `bench` but the screen."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator import engines
from orchestrator.engines import nodes as hosts
from orchestrator.engines.base import Cluster, Engine
from orchestrator.errors import HostError, UsageError
from orchestrator.host import machine as host
from orchestrator.host import neighbours
from orchestrator.inputs import job_inputs
from orchestrator.judge import rounds
from orchestrator.plan import catalog, compat, spec
from orchestrator.plan import jobs as plan
from orchestrator.plan.jobs import Job
from orchestrator.plan.spec import Override, Spec
from orchestrator.plan.workload import Device
from orchestrator.record import fingerprint, run_folder
from orchestrator.record.results import Failure, Result
from orchestrator.run import crew
from orchestrator.run.runner import Listener, Runner

DEFAULT_SPECS: Mapping[Device, str] = {"gpu": "seed.yaml", "cpu": "quick.yaml"}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the command line asks for."""

    root: Path
    results: Path
    cache: Path
    spec: Path | None = None
    told: Spec | None = None  # instead of a file
    overrides: Sequence[Override] = ()
    pythons: Mapping[str, Path] = field(default_factory=dict)
    resume: str | None = None
    address: str = "auto"  # of a cluster, for the ray engine


@dataclass(frozen=True, kw_only=True)
class PreparedRun:
    """A run that is about to start."""

    catalog: catalog.Catalog
    spec: spec.Spec
    host: host.Host
    engine: Engine | Cluster
    jobs: list[Job]
    skips: Mapping[str, Failure]  # by id, why; those of the jobs that cannot run on this machine's GPU, or any node's


def prepare(request: Request, notify: Callable[[str], None]) -> PreparedRun:
    """Resolve everything a run needs, without changing anything. Raises OrchestratorError."""
    known = catalog.load(request.root)
    machine = host.inspect()
    chosen = _load_spec(request, known, _default_device(machine))
    if chosen.engine == "ray":
        return _on_cluster(request, known, chosen, machine, notify)
    if chosen.each_host or chosen.hosts != spec.Hosts():
        raise UsageError("`hosts` and `each_host` are about the nodes of a cluster", hint="add --engine ray")
    engine = engines.choose(chosen.engine, cache=request.cache, pythons=_pythons(request, known), notify=notify)
    device = _device(chosen, machine, engine, notify)
    if request.spec is None and DEFAULT_SPECS[device] != DEFAULT_SPECS[_default_device(machine)]:
        chosen = _load_spec(request, known, device)
    return _prepared(request, known, chosen, machine, engine, plan.plan(chosen, known, device, machine.gpus))


def start(request: Request, prepared: PreparedRun) -> run_folder.RunFolder:
    """Make the folder of a new run."""
    rows = {job.framework for job in prepared.jobs}
    name = prepared.spec.name + (f"-{next(iter(rows))}" if len(rows) == 1 else "")
    folder = run_folder.RunFolder.create(request.results, name)
    folder.write_run(
        run_folder.Run(
            id=folder.id,
            began=run_folder.now(),
            command=("orchestrator", *sys.argv[1:]),
            engine=prepared.engine.name,
            spec=prepared.spec,
            jobs=tuple(prepared.jobs),
        )
    )
    return folder


def resume(request: Request, notify: Callable[[str], None]) -> tuple[run_folder.RunFolder, PreparedRun]:
    """An earlier run and what is missing of it, with the engine and the jobs it was started with."""
    folder = run_folder.find(request.results, request.resume)
    run = folder.read_run()
    known = catalog.load(request.root)
    missing = folder.missing(run.jobs)
    gone = sorted({job.framework for job in missing} - set(known.frameworks))
    if gone:
        raise UsageError(
            f"run {folder.id} needs {', '.join(gone)}, which this checkout lacks", hint="check it out again"
        )
    if run.engine == "ray":
        return folder, _on_cluster(request, known, run.spec, host.inspect(), notify, missing)
    engine = engines.choose(run.engine, cache=request.cache, pythons=_pythons(request, known), notify=notify)
    return folder, _prepared(request, known, run.spec, host.inspect(), engine, missing)


def run(
    request: Request,
    folder: run_folder.RunFolder,
    prepared: PreparedRun,
    listener: Listener,
    notify: Callable[[str], None],
) -> list[Result]:
    """Run what is prepared into `folder`, and further rounds where the spec leaves their number open.

    Returns the results of this call's jobs. A cluster is left then; one that was started for the run ends.
    """
    try:
        return _rounds(folder, prepared, runner(request, folder, prepared, listener, notify), listener, notify)
    finally:
        if isinstance(prepared.engine, Cluster):
            prepared.engine.close()


def _rounds(
    folder: run_folder.RunFolder,
    prepared: PreparedRun,
    jobs: Runner | crew.Crew,
    listener: Listener,
    notify: Callable[[str], None],
) -> list[Result]:
    results = jobs.run(prepared.jobs, prepared.skips)
    while prepared.spec.repeats == "auto":
        decision = _next_round(folder)
        if not decision.jobs:
            notify(f"no further round: {decision.why}")
            break
        listener.preparing(decision.why)
        results += jobs.run(decision.jobs)
    return results


def runner(
    request: Request,
    folder: run_folder.RunFolder,
    prepared: PreparedRun,
    listener: Listener,
    notify: Callable[[str], None],
) -> Runner | crew.Crew:
    """What runs the jobs of `prepared`, or others on the same engine, into `folder`.

    It runs them one after the other on this machine, or side by side on the nodes of a cluster.
    """
    made = job_inputs.Store(cache=request.cache, choice=prepared.spec.dataset)
    if isinstance(prepared.engine, Cluster):
        return crew.gather(
            prepared.engine,
            catalog=prepared.catalog,
            spec=prepared.spec,
            folder=folder,
            store=made,
            code=fingerprint.inspect(request.root),
            listener=listener,
            given=request.pythons,
        )
    return Runner(
        catalog=prepared.catalog,
        engine=prepared.engine,
        folder=folder,
        inputs=made,
        code=fingerprint.inspect(request.root),
        host=prepared.host,
        listener=listener,
        turns=neighbours.Turns(request.cache),
    )


def _prepared(
    request: Request, known: catalog.Catalog, chosen: spec.Spec, machine: host.Host, engine: Engine, jobs: list[Job]
) -> PreparedRun:
    skips = {
        job: Failure(kind="incompatible", message=verdict.reason, hint=verdict.remedy)
        for job, verdict in compat.skips(jobs, known, machine, given=request.pythons).items()
    }
    return PreparedRun(catalog=known, spec=chosen, host=machine, engine=engine, jobs=jobs, skips=skips)


def _on_cluster(
    request: Request,
    known: catalog.Catalog,
    chosen: spec.Spec,
    machine: host.Host,
    notify: Callable[[str], None],
    jobs: list[Job] | None = None,
) -> PreparedRun:
    """A run on the nodes of a cluster, of `jobs` or those of the spec."""
    given = _pythons(request, known)
    cluster = engines.join(request.address, root=request.root, choice=chosen.hosts.engine, pythons=given, notify=notify)
    nodes = hosts.select(cluster.nodes(), chosen.hosts)
    if not hosts.places(nodes, chosen):
        raise HostError(
            f"no host has {chosen.limits.cpus} CPUs for a job (limits.cpus), or as much memory (limits.memory)",
            hint="choose less, or other hosts",
        )
    if jobs is None:
        device = hosts.device(chosen.device, nodes)
        if request.spec is None and DEFAULT_SPECS[device] != DEFAULT_SPECS[_default_device(machine)]:
            chosen = _load_spec(request, known, device)
        jobs = plan.plan(chosen, known, device, None, hosts.names(nodes) if chosen.each_host else ())
    if not chosen.each_host and len(kinds := hosts.kinds(nodes)) > 1:
        notify(
            f"the hosts are not alike ({'; '.join(kinds)}), and figures of different machines do not share a row. "
            "To compare like with like, choose hosts, or measure on each of them: --set each_host=true"
        )
    images = {name: image for name, (_, image) in known.frameworks.items()}
    skips = hosts.skips(jobs, nodes, chosen, images, given)
    return PreparedRun(catalog=known, spec=chosen, host=machine, engine=cluster, jobs=jobs, skips=skips)


def _next_round(folder: run_folder.RunFolder) -> rounds.Decision:
    """Decide whether another round follows, and record it: whoever is interrupted now resumes with its jobs."""
    run = folder.read_run()
    decision = rounds.following(run.spec, run.jobs, folder.results())
    ended = "" if decision.jobs else decision.why
    folder.write_run(run.model_copy(update={"jobs": (*run.jobs, *decision.jobs), "ended": ended}))
    return decision


def _load_spec(request: Request, known: catalog.Catalog, device: Device) -> spec.Spec:
    if request.told is not None:
        return request.told
    path = request.spec or request.root / "configs" / DEFAULT_SPECS[device]
    chosen = spec.load(path, frameworks=known.frameworks, overrides=request.overrides)
    if chosen.repeats != "auto" and any(override.path == ("budget",) for override in request.overrides):
        raise UsageError("a budget limits `repeats: auto`, and nothing else", hint="add --repeats auto")
    return chosen


def _default_device(machine: host.Host) -> Device:
    return "gpu" if machine.gpus else "cpu"


def _device(chosen: spec.Spec, machine: host.Host, engine: Engine, notify: Callable[[str], None]) -> Device:
    """The device to run on; `auto` is the GPU when there is one and the engine can hand it out."""
    if chosen.device == "cpu" or (chosen.device == "auto" and not machine.gpus):
        return "cpu"
    if not machine.gpus:
        raise HostError("--device gpu, but this machine has no NVIDIA GPU (or no driver)", hint="use --device cpu")
    problem = engine.gpu_problem()
    if problem is None:
        return "gpu"
    if chosen.device == "gpu":
        raise HostError(problem, hint="install the NVIDIA Container Toolkit, or use --engine process")
    notify(f"{problem}; using the CPU")
    return "cpu"


def _pythons(request: Request, known: catalog.Catalog) -> Mapping[str, Path]:
    images = {image.name for image in known.images}
    for name in request.pythons:
        if name not in images:
            raise UsageError(f"--python: no image is called {name!r}{spec.did_you_mean(name, images)}")
    return request.pythons
