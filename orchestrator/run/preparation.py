"""A spec becomes a plan, the plan runs, its results are stored: all of `bench` but the screen."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.engines import hosts, registry
from orchestrator.engines.base import Engine
from orchestrator.engines.process import pythons
from orchestrator.engines.registration import AUTO, Setup
from orchestrator.errors import HostError, StoreError, UsageError
from orchestrator.host import machine
from orchestrator.inputs import job_inputs
from orchestrator.judge import rounds
from orchestrator.plan import catalog, spec, spec_file
from orchestrator.plan.jobs import Job, plan, round_of
from orchestrator.plan.spec import Spec
from orchestrator.plan.spec_file import Override
from orchestrator.plan.workload import Device
from orchestrator.record import fingerprint, run_folder
from orchestrator.record.results import Failure, Result
from orchestrator.run import cost
from orchestrator.run.attempt import OneAtATime, RunContext
from orchestrator.run.crew import Crew, gather
from orchestrator.run.listener import Listener
from orchestrator.text import did_you_mean, printable

_log = logging.getLogger(__name__)

DEFAULT_SPECS: Mapping[Device, str] = {"gpu": "seed.yaml", "cpu": "quick.yaml"}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the command line asks for."""

    root: Path
    results: Path
    cache: Path
    spec: Path | None = None
    given_spec: Spec | None = None  # in place of a file
    overrides: Sequence[Override] = ()
    pythons: Mapping[str, Path] = field(default_factory=dict)
    resume: str | None = None
    address: str = AUTO  # of a cluster


@dataclass(frozen=True, kw_only=True)
class PreparedRun:
    """A run that is about to start."""

    catalog: catalog.Catalog
    spec: spec.Spec
    host: machine.Host
    engine: Engine
    jobs: list[Job]
    skips: Mapping[str, Failure]  # by id, why: the jobs that no node can run
    memory: int | None = None  # bytes that a job can have on the largest node; None if unknown

    @property
    def possible(self) -> list[Job]:
        """The jobs that some node can run."""
        return [job for job in self.jobs if job.id not in self.skips]


def prepare(request: Request) -> PreparedRun:
    """Resolve everything a run needs, without changing anything. Raises OrchestratorError."""
    known = catalog.load(request.root)
    default: Device = "gpu" if machine.inspect().gpus else "cpu"
    chosen = _load_spec(request, known, default)
    engine, nodes = _connect(request, known, chosen, chosen.engine)
    device = hosts.device(chosen.device, nodes)
    if device == "cpu" and any(override.path == ("gpu",) for override in request.overrides):
        raise UsageError(
            "--gpu chooses a GPU, but these jobs run on the CPU", hint="leave --gpu out, or use --device gpu"
        )
    if request.spec is None and device != default:
        chosen = _load_spec(request, known, device)
    # On a cluster it is known only later which node runs a job, and so which GPU it gets.
    gpus = nodes[0].host.gpus if engine.local else None
    jobs = plan(chosen, known, device, gpus, hosts.names(nodes) if chosen.each_host else ())
    return _prepared(request, known, chosen, engine, nodes, jobs)


def cost_of(request: Request, prepared: PreparedRun) -> cost.Cost:
    """What the inputs of a prepared run cost that are not in the cache yet."""
    return cost.of_jobs(prepared.possible, prepared.spec.dataset, request.cache)


def require_room(needed: cost.Cost, request: Request, prepared: PreparedRun) -> None:
    """Raise CostError when a prepared run needs more disk or memory than there is."""
    cost.require_room(needed, cost.room(request.cache, prepared.memory), request.cache)


def start(request: Request, prepared: PreparedRun) -> run_folder.RunFolder:
    """Make the folder of a new run. Raises CostError, with nothing made, when there is too little disk or memory."""
    require_room(cost_of(request, prepared), request, prepared)
    rows = {job.framework for job in prepared.jobs}
    name = prepared.spec.name + (f"-{next(iter(rows))}" if len(rows) == 1 else "")
    folder = run_folder.RunFolder.create(request.results, name)
    folder.write_run(
        run_folder.Run(
            id=folder.id,
            began=run_folder.now(),
            command=("rosetta", *sys.argv[1:]),
            engine=prepared.engine.name,
            spec=prepared.spec,
            jobs=tuple(prepared.jobs),
        )
    )
    return folder


def resume(request: Request, folder: run_folder.RunFolder) -> PreparedRun:
    """What is missing of the run in `folder`, with the engine and the jobs it was started with.

    A stored run is data: only its spec is used. Its jobs are planned again from this checkout. Raises StoreError naming
    the difference when they are not the stored ones.
    """
    run = folder.read_run()
    known = catalog.load(request.root)
    gone = sorted({job.framework for job in run.jobs} - set(known.frameworks))
    if gone:
        raise UsageError(
            f"run {folder.id} needs {', '.join(gone)}, which is not here",
            hint="use the version of this program that the run began with, or start a new run",
        )
    engine, nodes = _connect(request, known, run.spec, run.engine)
    _require_same_plan(folder, run, planned_again(run, known, nodes if engine.local else None))
    return _prepared(request, known, run.spec, engine, nodes, folder.missing(run.jobs))


def planned_again(run: run_folder.Run, known: catalog.Catalog, nodes: Sequence[hosts.Node] | None) -> dict[str, Job]:
    """The jobs that this checkout plans for the spec of `run`, by their id; with `repeats: auto`, in as many rounds.

    `nodes` are those of an engine on this machine; on a cluster the run's own device and hosts are kept.
    """
    device = run.jobs[0].device if run.jobs else "cpu"
    gpus = None if nodes is None else nodes[0].host.gpus
    names = sorted({job.host for job in run.jobs if job.host is not None}) if run.spec.each_host else ()
    first = plan(run.spec, known, device, gpus, names)
    later = sorted({job.repeat for job in run.jobs if job.repeat > 1}) if run.spec.repeats == "auto" else ()
    return {job.id: job for jobs in (first, *(round_of(first, repeat) for repeat in later)) for job in jobs}


def _require_same_plan(folder: run_folder.RunFolder, run: run_folder.Run, planned: Mapping[str, Job]) -> None:
    """Raise StoreError for a stored job that would be another one today, or not at all, and for one that is missing.

    Later rounds of `repeats: auto` measure some of the jobs only.
    """
    stored = {job.id: job for job in run.jobs}
    what = next((words for job in run.jobs if (words := _difference(job, planned.get(job.id)))), "")
    if not what and len(stored) < len(run.jobs):
        what = "it has jobs more than once"
    lacking = [job.id for job in planned.values() if job.id not in stored]
    if not what and lacking and (run.spec.repeats != "auto" or planned[lacking[0]].repeat == 1):
        what = f"it lacks {lacking[0]}, which its spec means today"
    if what:
        raise StoreError(
            f"run {folder.id} cannot go on: {what}",
            hint="use the version of this program that the run began with, or start a new run",
        )


def _difference(stored: Job, planned: Job | None) -> str:
    """How a stored job differs from the one that this checkout plans; empty where it does not."""
    if stored == planned:
        return ""
    here = "would not plan it" if planned is None else f"plans it with another {_first_difference(stored, planned)}"
    return f"{printable(stored.id)} is not what its spec means today; this version {here}"


def _first_difference(stored: Job, planned: Job) -> str:
    """The field that differs, and both values."""
    field = next(name for name in Job.model_fields if getattr(stored, name) != getattr(planned, name))
    there, here = (printable(str(getattr(job, field))) for job in (stored, planned))
    return f"{field}: {there} in the run, {here} here"


def run(request: Request, folder: run_folder.RunFolder, prepared: PreparedRun, listener: Listener) -> list[Result]:
    """Run what is prepared into `folder`, and further rounds where the spec leaves their number open.

    Returns the results of this call's jobs. A cluster is left then; one that was started for the run ends.
    """
    try:
        crew = crew_for(request, folder, prepared, listener)
        results = crew.run(prepared.jobs, prepared.skips)
        while prepared.spec.repeats == "auto":
            decision = _next_round(folder)
            if not decision.jobs:
                _log.warning("no further round: %s", decision.why)
                break
            listener.preparing(decision.why)
            results += crew.run(decision.jobs)
        return results
    finally:
        prepared.engine.close()


def crew_for(request: Request, folder: run_folder.RunFolder, prepared: PreparedRun, listener: Listener) -> Crew:
    """A crew that runs the jobs of `prepared`, or others on the same engine, into `folder`."""
    store = job_inputs.Store(cache=request.cache, choice=prepared.spec.dataset)
    if prepared.spec.dataset == "auto":  # synthetic data may be used instead: the user reads that before the first job
        listener.preparing("data")
        store.prepare_datasets(prepared.possible)
    context = RunContext(
        catalog=prepared.catalog,
        engine=prepared.engine.name,
        folder=folder,
        inputs=OneAtATime(store),
        code=fingerprint.inspect(request.root),
        cache=request.cache,
    )
    return gather(prepared.engine, context, spec=prepared.spec, listener=listener, given=request.pythons)


def _connect(request: Request, known: catalog.Catalog, chosen: spec.Spec, name: str) -> tuple[Engine, list[hosts.Node]]:
    """The engine of this name, and those of its nodes that the spec chooses. Raises HostError, UsageError."""
    setup = Setup(
        root=request.root,
        cache=request.cache,
        pythons=_pythons(request, known, name),
        address=request.address,
        node_engine=chosen.hosts.engine,
    )
    if registry.is_local(name) and (chosen.each_host or chosen.hosts != spec.Hosts()):
        others = " or ".join(each.name for each in registry.registrations() if not each.local)
        raise UsageError("`hosts` and `each_host` are about the nodes of a cluster", hint=f"add --engine {others}")
    engine = registry.connect(name, setup)
    nodes = hosts.select(engine.nodes(), chosen.hosts)
    if not hosts.places(nodes, chosen):
        raise HostError(
            f"no host has {chosen.limits.cpus} CPUs for a job (limits.cpus), or as much memory (limits.memory)",
            hint="choose less, or other hosts",
        )
    if not chosen.each_host and len(kinds := hosts.kinds(nodes)) > 1:
        _log.warning(
            "the hosts are not alike (%s), and figures of different machines do not share a row. "
            "To compare like with like, choose hosts, or measure on each of them: --set each_host=true",
            "; ".join(kinds),
        )
    return engine, nodes


def _prepared(
    request: Request,
    known: catalog.Catalog,
    chosen: spec.Spec,
    engine: Engine,
    nodes: Sequence[hosts.Node],
    jobs: list[Job],
) -> PreparedRun:
    images = {name: image for name, (_, image) in known.frameworks.items()}
    skips = hosts.skips(jobs, nodes, chosen, images, request.pythons)
    return PreparedRun(
        catalog=known,
        spec=chosen,
        host=machine.inspect(),
        engine=engine,
        jobs=jobs,
        skips=skips,
        memory=max((node.host.usable_memory for node in nodes), default=None),
    )


def _next_round(folder: run_folder.RunFolder) -> rounds.Decision:
    """Decide whether another round follows, and record it, so that --resume goes on with its jobs."""
    run = folder.read_run()
    decision = rounds.following(run.spec, run.jobs, folder.results())
    ended = "" if decision.jobs else decision.why
    folder.write_run(run.model_copy(update={"jobs": (*run.jobs, *decision.jobs), "ended": ended}))
    return decision


def _load_spec(request: Request, known: catalog.Catalog, device: Device) -> spec.Spec:
    if request.given_spec is not None:
        return request.given_spec
    folder = request.root / "configs"
    chosen = spec_file.load(
        request.spec or folder / DEFAULT_SPECS[device],
        folder=folder,
        frameworks=known.frameworks,
        engines=registry.names(),
        overrides=request.overrides,
    )
    if chosen.repeats != "auto" and any(override.path == ("budget",) for override in request.overrides):
        raise UsageError("a budget limits `repeats: auto`, and nothing else", hint="add --repeats auto")
    return chosen


def _pythons(request: Request, known: catalog.Catalog, engine: str) -> Mapping[str, Path]:
    require_pythons(request.pythons, known, local=registry.is_local(engine))
    return request.pythons


def require_pythons(given: Mapping[str, Path], known: catalog.Catalog, *, local: bool = True) -> None:
    """Raise UsageError for an image that does not exist, and for an interpreter that does not run here, if `local`."""
    images = {image.name for image in known.images}
    for name, path in given.items():
        if name in images:
            continue
        what = f"--python {name}={path}: no image is called {name!r}"
        if name in known.frameworks:
            image = known.frameworks[name][1].name
            raise UsageError(f"{what}; that framework's image is {image!r}", hint=f"type --python {image}={path}")
        raise UsageError(f"{what}{did_you_mean(name, images)}", hint="`rosetta images ls` shows all images")
    if local:
        pythons.require(given)
