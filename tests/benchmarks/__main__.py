"""Measures the orchestrator itself: `make benchmark`. Prints figures as they are known; judges nothing.

Each part runs in a process of its own and has a time limit, so that a part that fails or hangs costs no other figures.
`python -m tests.benchmarks NAME...` runs some parts; `--full` sends ten times as many events.

Overhead is the wall time of a job that does nothing, minus that of the same program started by hand: once as a bare
child process and, where a Docker daemon answers, once with `docker run`.
"""

import contextlib
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from orchestrator.engines.base import Output
from orchestrator.engines.docker import engine as docker
from orchestrator.engines.process import engine as process_engine
from orchestrator.engines.process.engine import ProcessEngine
from orchestrator.engines.sampler import Sampler
from orchestrator.errors import HostError
from orchestrator.host import machine, nvml
from orchestrator.plan import catalog, jobs, spec, spec_file
from orchestrator.plan.workloads.resnet50 import ResNet50
from orchestrator.record.run_folder import RunFolder
from orchestrator.run import measurement
from orchestrator.run.conversation import Conversation
from tests.benchmarks import clusters, reports
from tests.support import engine_cases, fake_nvml

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 10
AFTERWARDS = 10.0  # when output arrives that is fed to the host side: seconds since the job began, after all its events


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
    }
    argv = [*prefix, "python" if prefix else sys.executable, "-m", "workloads.echo.resnet50"]
    subprocess.run(
        argv, cwd=engine_cases.ECHO, env=environment | {"PATH": "/usr/bin:/bin"}, capture_output=True, check=True
    )


def echo_spec(folder):
    run_spec = spec.Spec(name="e", frameworks=("good",), workloads=("resnet50",), resnet50=ResNet50(batch=1, batches=1))
    (job,) = jobs.plan(run_spec, catalog.load(engine_cases.ECHO), "cpu")
    (folder / "inputs").mkdir(exist_ok=True)
    (folder / "spec.json").write_text(json.dumps(job.for_workload()))


def process_engine_overhead(folder):
    """A job through the process engine against the same program by hand."""
    echo_spec(folder)
    process = ProcessEngine(cache=folder, pythons={"echo": Path(sys.executable)})
    yield from compared("bare child process", lambda: by_hand(folder, []), process, folder)


def docker_engine_overhead(folder):
    """The same through the docker engine, against a plain `docker run`."""
    try:
        engine = docker.connect()
    except HostError as error:
        yield "docker engine", "not measured", error.message
        return
    echo_spec(folder)
    image = engine.prepare(catalog.load(engine_cases.ECHO).images[0], "cpu").handle
    run = ["docker", "run", "--rm", "--network=none", "--workdir=/bench"]
    run += [f"--volume={engine_cases.ECHO / 'workloads'}:/bench/workloads:ro", f"--volume={folder}:{folder}"]
    run += [f"--env={name}={folder / path}" for name, path in (("BENCH_SPEC", "spec.json"), ("BENCH_INPUTS", "inputs"))]
    yield from compared("plain docker run", lambda: by_hand(folder, [*run, image]), engine, folder)


def compared(title, action, engine, folder):
    """Rows for a job by hand, which `action` runs, and through an engine."""
    bare = seconds(action)
    yield f"job, {title}", *shown(*bare)
    ours = seconds(lambda: engine_cases.run_echo(engine, folder, "good"))
    yield f"job, {engine.name} engine", *shown(*ours)
    yield f"overhead of the {engine.name} engine", f"{ours[0] - bare[0]:.3f} s", "goal: within 0.3 s"
    yield share_of_a_core(engine, folder)


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
        b'{"event":"start","seq":0,"t":0.0,"protocol":2,"framework":"good","workload":"resnet50","version":"1",'
        b'"versions":{},"device":"cpu","device_name":null,"precision":"fp32","threads":2,"fused":null,'
        b'"denormals":"kept","notes":[]}\n'
        b'{"event":"ready","seq":1,"t":0.1,"load_s":0.0,"build_s":0.0,"compile_s":0.0}\n'
    )
    STEP = b'{"event":"step","seq":%d,"t":5.996,"epoch":1,"step":50,"samples":3200,"seconds":4.983916,"loss":1.54274}\n'

    def chunks(self, events):
        yield self.START
        for first in range(2, events, 512):
            yield b"".join(self.STEP % number for number in range(first, min(first + 512, events)))


def protocol_and_store(folder, events=1_000_000):
    """Events through reader, figures and event file; the peak of memory shows whether anything piles up."""
    run_spec = spec.Spec(name="e", frameworks=("good",), workloads=("resnet50",))
    (job,) = jobs.plan(run_spec, catalog.load(engine_cases.ECHO), "cpu")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    busy = 0.0
    with RunFolder.create(folder, "events").record(job.id) as recorder:
        conversation = Conversation(job, recorder, lambda event: None)
        for chunk in Endless().chunks(events):
            began = time.perf_counter()
            conversation.take(Output("stdout", chunk, at=AFTERWARDS))
            busy += time.perf_counter() - began
    assert conversation.violation is None, conversation.violation
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    yield f"{events:,} events, protocol + store", f"{events / busy:,.0f} events/s", f"peak memory +{grown:.0f} MiB"


def sampling(folder, rounds=500, seconds=10.0):
    """CPU time of a look at a GPU (a stand-in that answers at once) and at a child process, one after the other and then
    at their real pace: a thread that sleeps in between finds its caches cold.
    """
    with pytest.MonkeyPatch.context() as patch, sleeping() as job:
        fake_nvml.install(patch, fake_nvml.Card())
        with nvml.opened([fake_nvml.UUID], print) as (card,):
            gpu = cpu_seconds(card.read, rounds)
        usage = cpu_seconds(job.usage, rounds)
        beside = Sampler([fake_nvml.UUID], machine.inspect().cpus)
        with beside.beside(job.usage):
            time.sleep(seconds)
    used, _ = measurement.telemetry_of(beside.observations(), measurement.TimedPart())
    yield "a look at a GPU, without NVML's own time", f"{1e6 * gpu:.0f} µs", ""
    yield "a look at a job, process engine", f"{1e6 * usage:.0f} µs", f"{len(psutil.pids())} processes on this machine"
    yield f"both at {used.hz:.0f} and 5 Hz", f"{100 * used.sampling_cpus:.2f} % of a core", "goal: 1 %"


@contextlib.contextmanager
def sleeping():
    """A job of the process engine that does nothing."""
    with subprocess.Popen(
        ["sleep", "600"], start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        job = process_engine.RunningProcess(child)
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


def planning(folder):
    """A spec of 10,000 jobs."""
    known = catalog.load(engine_cases.ECHO)
    text = "name: t\nframeworks: [good]\nworkloads: [resnet50]\nrepeats: 10000"
    taken = seconds(lambda: jobs.plan(spec_file.parse(text, name="t"), known, "cpu"), rounds=5)
    yield "plan of 10,000 jobs", *shown(*taken)


def start_up(folder):
    """The command line."""
    taken = seconds(
        lambda: subprocess.run(
            [sys.executable, "-m", "orchestrator", "--help"], capture_output=True, check=True, cwd=ROOT
        )
    )
    yield "orchestrator --help", *shown(*taken)


def shown(median, least, most):
    return f"{median:.3f} s", f"{least:.3f} to {most:.3f}"


PARTS = {  # name → what yields its rows, given a folder; and the seconds it may take
    "start-up": (start_up, 60),
    "planning": (planning, 60),
    "sampling": (sampling, 60),
    "events": (protocol_and_store, 300),
    "process": (process_engine_overhead, 120),
    "docker": (docker_engine_overhead, 300),
    "clusters": (clusters.measure, 240),
    "reports": (reports.measure, 300),
}
WIDTHS = (52, 30)  # of the first two columns


def show(row):
    print(*(cell.ljust(width) for cell, width in zip(row, WIDTHS, strict=False)), row[-1], flush=True)  # noqa: T201


def run_parts(commands):
    """Run commands that print rows, given as name → (argv, seconds), one after the other; return how many failed."""
    failed = 0
    for name, (argv, seconds) in commands.items():
        print(f"measuring {name}, for at most {seconds} s", file=sys.stderr, flush=True)  # noqa: T201
        problem = run_part(argv, seconds)
        if problem:
            failed += 1
            show((name, "not measured", problem))
    return failed


def run_part(argv, seconds):
    """Run one command in a process of its own; return what went wrong, or None."""
    child = subprocess.Popen(argv, cwd=ROOT, start_new_session=True)
    try:
        status = child.wait(seconds)
    except subprocess.TimeoutExpired:
        return f"not done within {seconds} s"
    else:
        return f"failed with exit code {status}" if status else None
    finally:
        kill_all(child)


def kill_all(child):
    """End the process, if it still runs, and all it started: a cluster has processes in sessions of their own."""
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        found = psutil.Process(child.pid).children(recursive=True)
    for each in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    psutil.wait_procs(found, timeout=10)


def main(arguments):
    """Run the parts that are named, by default all; return the exit code."""
    options = [argument for argument in arguments if argument.startswith("--")]
    names = [argument for argument in arguments if argument not in options] or list(PARTS)
    show((f"The orchestrator on {machine.inspect().title()}", f"median of {ROUNDS}", "range, or goal"))
    argv = [sys.executable, "-m", "tests.benchmarks", "--rows"]
    failed = run_parts({name: ([*argv, name, *options], PARTS[name][1]) for name in names})
    return 1 if failed else 0


def rows_of(name, *options):
    """Print the rows of one part: what the child process does."""
    measure, _ = PARTS[name]
    more = {"events": 10_000_000} if measure is protocol_and_store and "--full" in options else {}
    with tempfile.TemporaryDirectory() as folder:
        for row in measure(Path(folder), **more):
            show(row)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--rows"]:
        rows_of(*sys.argv[2:])
    else:
        sys.exit(main(sys.argv[1:]))
