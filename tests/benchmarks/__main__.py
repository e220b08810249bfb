"""Measures the orchestrator itself: `make benchmark`. Prints a table; judges nothing.

Overhead is the wall time of a job that does nothing, minus that of the same program started by hand: once as a bare
child process and, where a Docker daemon answers, once with `docker run`.
"""

import contextlib
import gc
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
from rich.console import Console
from rich.table import Table

from orchestrator.engines.base import Output
from orchestrator.engines.docker import engine as docker
from orchestrator.engines.process import engine as process_engine
from orchestrator.engines.process.engine import ProcessEngine
from orchestrator.engines.sampler import Sampler
from orchestrator.errors import HostError
from orchestrator.host import machine, nvml
from orchestrator.plan import catalog, jobs, spec
from orchestrator.plan.workloads.resnet50 import ResNet50
from orchestrator.record.run_folder import RunFolder
from orchestrator.run.conversation import Conversation
from tests.benchmarks import clusters, reports
from tests.support import engine_cases, fake_nvml

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 10


def seconds(action, rounds=ROUNDS):
    """Median wall time of `action` in seconds, and the range."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return statistics.median(times), min(times), max(times)


def by_hand(folder, prefix):
    """Run the echo workload without the orchestrator; `prefix` is what stands before `python -m …`."""
    (folder / "output").mkdir(exist_ok=True)
    environment = {
        "BENCH_SPEC": str(folder / "spec.json"),
        "BENCH_INPUTS": str(folder / "inputs"),
        "BENCH_OUTPUT": str(folder / "output"),
    }
    argv = [*prefix, "python" if prefix else sys.executable, "-m", "workloads.echo.resnet50"]
    subprocess.run(
        argv, cwd=engine_cases.ECHO, env=environment | {"PATH": "/usr/bin:/bin"}, capture_output=True, check=True
    )


def echo_spec(folder):
    told = spec.Spec(name="e", frameworks=("good",), workloads=("resnet50",), resnet50=ResNet50(batch=1, batches=1))
    (job,) = jobs.plan(told, catalog.load(engine_cases.ECHO), "cpu")
    import json

    (folder / "inputs").mkdir(exist_ok=True)
    (folder / "spec.json").write_text(json.dumps(job.for_workload()))


def overhead(rows, folder):
    """A job through each engine against the same program by hand."""
    echo_spec(folder)
    process = ProcessEngine(cache=folder, pythons={"echo": Path(sys.executable)})
    bare = seconds(lambda: by_hand(folder, []))
    ours = seconds(lambda: engine_cases.run_echo(process, folder, "good"))
    rows.append(("job, bare child process", *shown(*bare)))
    rows.append(("job, process engine", *shown(*ours)))
    rows.append(("overhead of the process engine", f"{ours[0] - bare[0]:.3f} s", "goal: within 0.3 s"))
    rows.append(share_of_a_core(process, folder))
    try:
        engine = docker.connect()
    except HostError as error:
        rows.append(("docker engine", "not measured", error.message))
        return
    image = engine.prepare(catalog.load(engine_cases.ECHO).images[0], "cpu", lambda line: None).handle
    run = ["docker", "run", "--rm", "--network=none", "--workdir=/bench"]
    run += [f"--volume={engine_cases.ECHO / 'workloads'}:/bench/workloads:ro", f"--volume={folder}:{folder}"]
    run += [
        f"--env={name}={folder / path}"
        for name, path in (("BENCH_SPEC", "spec.json"), ("BENCH_INPUTS", "inputs"), ("BENCH_OUTPUT", "output"))
    ]
    bare = seconds(lambda: by_hand(folder, [*run, image]))
    ours = seconds(lambda: engine_cases.run_echo(engine, folder, "good"))
    rows.append(("job, plain docker run", *shown(*bare)))
    rows.append(("job, docker engine", *shown(*ours)))
    rows.append(("overhead of the docker engine", f"{ours[0] - bare[0]:.3f} s", "goal: within 0.3 s"))
    rows.append(share_of_a_core(engine, folder))


def share_of_a_core(engine, folder):
    """What a job's own telemetry says, of a job of ten seconds that says something ten times a second."""
    _, (result,) = engine_cases.run_echo(engine, folder, "ticking")
    used = result.telemetry
    what = f"orchestrator at 10 events/s, {engine.name} engine"
    return (
        what,
        f"{100 * used.orchestrator_cpus:.2f} % of a core",
        f"goal: 2 %; sampling: {100 * used.sampling_cpus:.2f} %",
    )


class Endless:
    """A job's events, generated in chunks of 64 KiB or so as an engine would hand them on."""

    START = (
        b'{"event":"start","seq":0,"t":0.0,"protocol":1,"framework":"good","workload":"resnet50","version":"1",'
        b'"versions":{},"device":"cpu","device_name":null,"precision":"fp32","threads":2,"fused":null,'
        b'"denormals":"kept","notes":[]}\n'
        b'{"event":"ready","seq":1,"t":0.1,"load_s":0.0,"build_s":0.0,"compile_s":0.0}\n'
    )
    STEP = b'{"event":"step","seq":%d,"t":5.996,"epoch":1,"step":50,"samples":3200,"seconds":4.983916,"loss":1.54274}\n'

    def chunks(self, events):
        yield self.START
        for first in range(2, events, 512):
            yield b"".join(self.STEP % number for number in range(first, min(first + 512, events)))


def protocol_and_store(rows, folder, events):
    """Events through reader, figures and event file; the peak of memory tells whether anything piles up."""
    told = spec.Spec(name="e", frameworks=("good",), workloads=("resnet50",))
    (job,) = jobs.plan(told, catalog.load(engine_cases.ECHO), "cpu")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    busy = 0.0
    with RunFolder.create(folder, "events").record(job.id) as recorder:
        conversation = Conversation(job, recorder, lambda event: None)
        for chunk in Endless().chunks(events):
            began = time.perf_counter()
            conversation.take(Output("stdout", chunk))
            busy += time.perf_counter() - began
    assert conversation.violation is None, conversation.violation
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    rows.append(
        (f"{events:,} events, protocol + store", f"{events / busy:,.0f} events/s", f"peak memory +{grown:.0f} MiB")
    )


def sampling(rows, rounds=500, seconds=10.0):
    """CPU time of a look at a GPU (a stand-in that answers at once) and at a child process, one after the other and then
    at their real pace: a thread that sleeps in between finds its caches cold.
    """
    with pytest.MonkeyPatch.context() as patch, sleeping() as job:
        fake_nvml.install(patch, fake_nvml.Card())
        with nvml.opened([fake_nvml.UUID], print) as (card,):
            gpu = cpu_seconds(card.read, rounds)
        usage = cpu_seconds(job.usage, rounds)
        beside = Sampler([fake_nvml.UUID])
        with beside.beside(job.usage):
            time.sleep(seconds)
    used, _ = beside.found()
    rows.append(("a look at a GPU, without NVML's own time", f"{1e6 * gpu:.0f} µs", ""))
    rows.append(
        ("a look at a job, process engine", f"{1e6 * usage:.0f} µs", f"{len(psutil.pids())} processes on this machine")
    )
    rows.append((f"both at {used.hz:.0f} and 5 Hz", f"{100 * used.sampling_cpus:.2f} % of a core", "goal: 1 %"))


@contextlib.contextmanager
def sleeping():
    """A job of the process engine that does nothing."""
    with subprocess.Popen(
        ["sleep", "600"], start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        job = process_engine._Child(child, memory=None)
        try:
            yield job
        finally:
            job.kill()


def cpu_seconds(action, rounds):
    """Mean CPU time of `action` in seconds."""
    began = time.process_time()
    for _ in range(rounds):
        action()
    return (time.process_time() - began) / rounds


def planning(rows):
    """A spec of 10,000 jobs."""
    known = catalog.load(engine_cases.ECHO)
    text = "name: t\nframeworks: [good]\nworkloads: [resnet50]\nrepeats: 10000"
    taken = seconds(lambda: jobs.plan(spec.parse(text, name="t"), known, "cpu"), rounds=5)
    rows.append(("plan of 10,000 jobs", *shown(*taken)))


def start_up(rows):
    """The command line."""
    taken = seconds(
        lambda: subprocess.run(
            [sys.executable, "-m", "orchestrator", "--help"], capture_output=True, check=True, cwd=ROOT
        )
    )
    rows.append(("orchestrator --help", *shown(*taken)))


def shown(median, least, most):
    return f"{median:.3f} s", f"{least:.3f} to {most:.3f}"


def main():
    console = Console()
    rows = []
    events = 10_000_000 if "--full" in sys.argv else 1_000_000
    with tempfile.TemporaryDirectory() as name, contextlib.suppress(KeyboardInterrupt):
        folder = Path(name)
        for measure in (start_up, planning, sampling):
            measure(rows)
        protocol_and_store(rows, folder, events)
        gc.collect()
        overhead(rows, folder)
        clusters.measure(rows, folder)
        reports.measure(rows, folder)
    table = Table(title=f"The orchestrator on {machine.inspect().title()}", title_justify="left")
    for column in ("what", f"median of {ROUNDS}", "range, or goal"):
        table.add_column(column)
    for row in rows:
        table.add_row(*row)
    console.print(table)


if __name__ == "__main__":
    main()
