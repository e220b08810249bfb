"""The ray engine on simulated nodes of this machine: what it costs beyond the engine underneath."""

import itertools
import json
import os
import statistics
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from orchestrator import files
from orchestrator.engines import base
from orchestrator.engines.process.engine import ProcessEngine
from orchestrator.host import machine
from orchestrator.inputs.job_inputs import Store
from orchestrator.plan import jobs, spec
from tests.support import clusters, engine_cases, network

PYTHONS = {"echo": Path(sys.executable)}
JOBS = 20  # for the time of one
MANY, NODES = 1000, 8
SECONDS = 5.0  # of listening to a job that never stops talking


def measure(folder):
    """Rows for one node, then for eight."""
    os.environ["ROSETTA_CACHE"] = str(folder / "cache")
    try:
        with network.loopback_only():
            yield from one_node(folder)
            yield many_jobs(folder)
    except network.NoNetworkError:
        yield "clusters", "not measured", "a network of their own takes root on Linux"


def one_node(folder):
    """What Ray adds to the process engine."""
    process = ProcessEngine(cache=folder / "cache", pythons=PYTHONS)
    with joined(["alpha"]) as cluster:
        bare = per_job(process, folder / "bare")
        yield "next job, process engine", f"{bare:.3f} s", f"mean of {JOBS}"
        through = per_job(cluster, folder / "ray")
        yield "next job, process engine through Ray", f"{through:.3f} s", f"mean of {JOBS}"
        yield "overhead of Ray per job", f"{through - bare:.3f} s", "goal: 0.05 s"
        (node,) = cluster.nodes()
        taken = cluster.take(node, lambda: True)
        for name, engine in (("process engine", process), ("process engine through Ray", taken)):
            yield f"events, {name}", f"{events_per_second(engine, folder):,.0f} events/s", ""
            late = delays(engine, folder)
            yield f"a line's way, {name}", f"{statistics.median(late):.3f} s", f"longest of 50: {max(late):.3f}"
        taken.close()


def many_jobs(folder):
    """Short jobs on eight nodes at once."""
    with joined([f"node-{number}" for number in range(NODES)]) as cluster:
        began = time.perf_counter()
        _, results = engine_cases.run_echo(cluster, folder / "many", "good", repeats=MANY)
        wall = time.perf_counter() - began
    assert [result.status for result in results] == ["ok"] * MANY
    return f"{MANY:,} jobs over {NODES} nodes of this machine", f"{wall:.0f} s", f"{MANY / wall:.1f} jobs/s"


@contextmanager
def joined(names):
    """The ray engine on nodes of these names."""
    with clusters.cluster(names) as made:
        engine = clusters.connect(made, engine_cases.ECHO, choice="process", pythons=PYTHONS)
        yield engine
        engine.close()


class Clock(engine_cases.Silent):
    """Notes when jobs end."""

    def __init__(self):
        super().__init__()
        self.ends = []

    def job_finished(self, result):
        self.ends.append(time.perf_counter())


def per_job(engine, folder):
    """Seconds from the end of a job to that of the next, which does nothing; the mean of all."""
    return statistics.mean(gaps(engine, folder))


def gaps(engine, folder):
    """Seconds from the end of each job to that of the next."""
    clock = Clock()
    names = [f"good-{number}" for number in range(1 + JOBS)]
    _, results = engine_cases.run_echo(engine, folder, *names, listener=clock)
    assert [result.status for result in results] == ["ok"] * len(names), results
    return [later - earlier for earlier, later in itertools.pairwise(clock.ends)]


@contextmanager
def running(engine, folder, behaviour):
    """The echo workload, and nothing that judges its output."""
    known = engine_cases.behaving((behaviour,))
    run_spec = spec.Spec(name="e", frameworks=(behaviour,), workloads=("resnet50",))
    (job,) = jobs.plan(run_spec, known, "cpu")
    made = Store(cache=files.default_cache(), choice="synthetic").for_job(job)
    if hasattr(engine, "inputs"):  # a node that was taken, and not a local engine
        made = engine.inputs(job, made)
    place = folder / f"{behaviour}-{type(engine).__name__}"
    place.mkdir(parents=True)
    (place / "spec.json").write_text(json.dumps(job.for_workload()))
    launch = base.Launch(
        job=job,
        run="benchmark",
        workloads=engine_cases.ECHO / "workloads",
        inputs=made.files,
        spec=place / "spec.json",
        cpus=machine.inspect().cpus,
        gpus=(),
    )
    with engine.run(engine.prepare(known.images[0], "cpu"), launch) as execution:
        yield execution


def events_per_second(engine, folder):
    """Of a job that says events as fast as it can."""
    count, began = 0, None
    with running(engine, folder, "endless") as execution:
        for output in execution.output():
            if output is not None:
                began = began or time.perf_counter()
                count += output.data.count(b"\n")
            if began and time.perf_counter() > began + SECONDS:
                break
    return count / SECONDS


def delays(engine, folder):
    """Seconds from a job's writing of a line to its arrival here, ten lines a second."""
    found = []
    with running(engine, folder, "clock") as execution:
        for output in execution.output():
            if output is not None and output.stream == "stderr":
                found += [time.time() - float(line) for line in output.data.split()]
    return found
