"""What every engine must do, whatever it is: used by the tests of the process, the docker and the ray engine."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import psutil

from orchestrator import files
from orchestrator.engines import hosts, leftovers, registry
from orchestrator.engines.base import STOP_GRACE, Engine, LocalEngine
from orchestrator.engines.one_node import OneNode
from orchestrator.engines.process.engine import ProcessEngine
from orchestrator.engines.registration import Setup
from orchestrator.host import machine
from orchestrator.host.machine import Gpu, user_name
from orchestrator.inputs.job_inputs import Inputs, Store
from orchestrator.plan import catalog, spec
from orchestrator.plan import jobs as plan
from orchestrator.plan.jobs import Job
from orchestrator.plan.workloads.resnet50 import ResNet50
from orchestrator.record import fingerprint
from orchestrator.record.events import Event, Ready
from orchestrator.record.results import DataFacts, Failure, Result
from orchestrator.record.run_folder import RunFolder
from orchestrator.record.telemetry import Telemetry
from orchestrator.report import published, tables
from orchestrator.report.table import Doubtful
from orchestrator.run.attempt import OneAtATime, RunContext
from orchestrator.run.crew import PAUSES, Pauses, gather

if TYPE_CHECKING:
    from typing_extensions import TypeIs  # in typing from Python 3.13 on

ECHO = Path(__file__).resolve().parents[1] / "echo"
SMALL: dict[str, Any] = {"resnet50": ResNet50(batch=2, batches=3, seconds=0)}  # the settings of the echo workload
AnyEngine: TypeAlias = LocalEngine | Engine  # the latter of a cluster


class Silent:
    """A listener that remembers the events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def planned(self, jobs: Sequence[Job]) -> None:
        pass

    def preparing(self, what: str) -> None:
        pass

    def job_started(self, job: Job, number: int, total: int, epoch_samples: int | None) -> None:
        pass

    def job_event(self, job: Job, event: Event) -> None:
        self.events.append(event)

    def job_finished(self, result: Result) -> None:
        pass

    def lane(self, node: str) -> Silent:
        return self

    def close(self) -> None:
        pass


class FewInputs:
    """Stands in for inputs.Store: one small file, made in `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "weights.npz"
        self.file.write_bytes(b"weights")

    def for_job(self, job: Job) -> Inputs:
        facts = DataFacts(label="none", source="synthetic", fingerprint="", inputs={})
        return Inputs(files={"weights.npz": self.file}, facts=facts, train_samples=None, test_samples=None)


def behaving(names: Iterable[str], root: Path = ECHO) -> catalog.Catalog:
    """The echo project with a framework for each behaviour; its workload does what its framework is called."""
    (image,) = catalog.load(root).images
    (good,) = image.frameworks
    frameworks = tuple(dataclasses.replace(good, id=name, title=name, env={"NOSY": "very"}) for name in names)
    return catalog.Catalog(root=root, images=(dataclasses.replace(image, frameworks=frameworks),))


def has_nodes(engine: AnyEngine) -> TypeIs[Engine]:
    """Whether it is the engine of a cluster."""
    return hasattr(engine, "nodes")


def run_echo(
    engine: AnyEngine,
    folder: Path,
    *behaviours: str,
    root: Path = ECHO,
    listener: Silent | None = None,
    retries: int = 0,
    gpus: tuple[Gpu, ...] = (),
    resume: RunFolder | None = None,
    skip: Mapping[str, Failure] | None = None,
    **limits: Any,
) -> tuple[RunFolder, list[Result]]:
    """Run the echo workload once per behaviour; returns the run folder and the results.

    `engine` is a local one, or the nodes of a cluster.
    """
    if has_nodes(engine):
        return run_on_nodes(engine, folder, *behaviours, listener=listener, retries=retries, resume=resume, **limits)
    known = behaving(behaviours, root)
    run_spec = spec.Spec(
        name="echo",
        frameworks=behaviours,
        workloads=("resnet50",),
        retries=retries,
        **SMALL,
        limits=spec.Limits(**limits),
    )
    planned = plan.plan(run_spec, known, "gpu" if gpus else "cpu", gpus)
    jobs = [job.model_copy(update={"gpus": tuple(gpu.uuid for gpu in gpus)}) for job in planned]
    run_folder = resume or RunFolder.create(folder / "results", "echo")
    here = OneNode(engine, cache=folder / "cache", host=dataclasses.replace(machine.inspect(), gpus=gpus))
    context = RunContext(
        catalog=known,
        engine=here.name,
        folder=run_folder,
        inputs=FewInputs(folder),
        code=fingerprint.inspect(root),
        cache=folder / "cache",
    )
    crew = gather(here, context, spec=run_spec, listener=listener or Silent(), given=["echo"])
    return run_folder, crew.run(run_folder.missing(jobs), skip or {})


def run_on_nodes(  # noqa: PLR0913  (each is a setting of a spec)
    cluster: Engine,
    folder: Path,
    *behaviours: str,
    listener: Silent | None = None,
    retries: int = 0,
    resume: RunFolder | None = None,
    each_host: bool = False,
    repeats: int = 1,
    names: tuple[str, ...] = (),
    labels: dict[str, str] | None = None,
    exclusive: bool = True,
    pauses: Pauses = PAUSES,
    **limits: Any,
) -> tuple[RunFolder, list[Result]]:
    """The same on the nodes of a cluster, which make real inputs: the orchestrator's must be the same."""
    known = behaving(behaviours)
    run_spec = spec.Spec(
        name="echo",
        frameworks=behaviours,
        workloads=("resnet50",),
        retries=retries,
        repeats=repeats,
        hosts=spec.Hosts(names=names, labels=labels or {}, exclusive=exclusive),
        each_host=each_host,
        **SMALL,
        limits=spec.Limits(**limits),
    )
    nodes = hosts.select(cluster.nodes(), run_spec.hosts)
    jobs = plan.plan(run_spec, known, "cpu", None, hosts.names(nodes) if each_host else ())
    run_folder = resume or RunFolder.create(folder / "results", "echo")
    inputs = OneAtATime(Store(cache=files.default_cache(), choice="synthetic"))
    context = RunContext(
        catalog=known,
        engine=cluster.name,
        folder=run_folder,
        inputs=inputs,
        code=fingerprint.inspect(ECHO),
        cache=files.default_cache(),
    )
    crew = gather(cluster, context, spec=run_spec, listener=listener or Silent(), pauses=pauses)
    return run_folder, crew.run(run_folder.missing(jobs))


def gpu_project(folder: Path) -> Path:
    """A copy of the echo project whose image has a variant for GPUs, and whose workload says which of them it sees."""
    root = folder / "project"
    shutil.copytree(ECHO, root)
    shutil.copytree(ECHO.parents[1] / "workloads" / "common", root / "workloads" / "common")
    dockerfile = root / "images" / "echo" / "Dockerfile"
    dockerfile.write_text(
        dockerfile.read_text().replace("disk.cpu", "lock.cuda=requirements-cpu.txt rosetta.disk.cuda")
    )
    return root


def why(result: Result) -> Failure:
    """The failure of a job that failed."""
    assert result.failure is not None, result.job.id
    return result.failure


def usage_of(result: Result) -> Telemetry:
    """What a job used."""
    assert result.telemetry is not None, result.job.id
    return result.telemetry


def facts_of(folder: RunFolder, result: Result) -> Any:
    """What the nosy workload found out."""
    return json.loads(np.load(folder.path / f"{result.job.id}.output" / "facts.npy").tobytes())


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """The block must not take longer than this: for claims about stopping, not about speed."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def check_good(engine: AnyEngine, folder: Path) -> None:
    run_folder, (result,) = run_echo(engine, folder, "good")
    assert result.status == "ok", result.failure
    assert result.figures.images_per_s == 12.0
    assert result.exit_code == 0
    assert result.provenance.engine == engine.name
    assert result.provenance.by == user_name()
    assert (run_folder.path / f"{result.job.id}.jsonl").read_bytes().count(b"\n") == 5
    assert run_folder.read_result(result.job.id) == result


def check_failures_are_distinguished(engine: AnyEngine, folder: Path) -> None:
    names = ("error", "crash", "killed", "silent", "torn")
    _, results = run_echo(engine, folder, *names)
    found = {result.job.framework: (result.status, why(result).kind, why(result).message) for result in results}
    assert found == {
        "error": ("failed", "out_of_memory", "CudaError: out of memory"),
        "crash": ("failed", "exception", "the job ended with exit code 3: something went wrong in �[31mlayer 3�[0m"),
        "killed": ("failed", "killed", "the job was ended by SIGKILL"),
        "silent": ("failed", "protocol", "the event stream stopped without 'end'"),
        "torn": ("failed", "protocol", found["torn"][2]),
    }
    assert "is no event" in found["torn"][2]
    crash = next(result for result in results if result.job.framework == "crash")
    assert why(crash).log == ("something went wrong in �[31mlayer 3�[0m",)
    assert why(crash).hint


def check_broken_streams_are_protocol_violations(engine: AnyEngine, folder: Path) -> None:
    expected = {
        "bomb": "is no event",
        "nan": "is no event",
        "infinite": "seconds",
        "negative": "seconds",
        "huge": "is no event",
        "garbled": "is no event",
        "unordered": "'inference' after 'ready'",
        "gap": "event 'cold' has number 3, expected 2",
        "twice": "'end' after the end",
        "late": "'ready' after the end",
        "large": "its artifacts have more than 64 MiB",
        "cut": "1 bytes of artifact 'cut.npy' are missing",
        "stray": "a part that belongs to no artifact",
        "longer": "a part of 5 bytes, where 4 are missing",
        "other": "the bytes of artifact 'other.npy' are not those of its sha256",
        "again": "a second artifact is called 'again.npy'",
        "base64": "a part that is no base64",
        "outside": "is no event: artifact.name",
        "century": "it reports 1,000,000,000 s for the cold pass, but its events arrived within ",
        "instant": "operations a second; no machine reaches",
        "backwards": "'t' runs backwards, from 0.5 s to 0 s",
        "ahead": "'t' of 'cold' is 1,000,000,000 s, but the job began ",
        "partial": "it reports only 0.5 s for the inference pass, but its events arrived 4.",
    }
    run_folder, results = run_echo(engine, folder, *expected)
    for result in results:
        name = result.job.framework
        assert (result.status, why(result).kind) == ("failed", "protocol"), name
        assert expected[name] in why(result).message, name
        assert len(why(result).message) < 1000, name
    kept = sorted(path.relative_to(run_folder.path).as_posix() for path in run_folder.path.glob("*.output/*"))
    assert kept == ["again-resnet50-cpu-1.output/again.npy"]


def check_silence_is_distinguished_from_slowness(engine: AnyEngine, folder: Path) -> None:
    with at_most(60):
        _, (closed, slow) = run_echo(engine, folder, "closed", "slow", silence=6.0)
    assert (closed.status, why(closed).kind) == ("timeout", "timeout")
    assert "said nothing for 6 s, after 'ready'" in why(closed).message
    assert slow.status == "ok", slow.failure


def check_what_a_job_leaves_behind_is_removed(engine: AnyEngine, folder: Path) -> None:
    temporary = Path(tempfile.gettempdir())
    before = set(temporary.glob(f"{leftovers.JOB_FOLDER}*"))
    _, (result,) = run_echo(engine, folder, "litter")
    assert result.status == "ok", result.failure
    assert set(temporary.glob(f"{leftovers.JOB_FOLDER}*")) <= before


def check_another_attempt_is_made_only_where_it_can_help(engine: AnyEngine, folder: Path) -> None:
    run_folder, (killed, torn) = run_echo(engine, folder, "killed", "torn", retries=2)
    assert (killed.attempt, torn.attempt) == (3, 1)
    first = run_folder.path / "killed-resnet50-cpu-1.attempt-1.jsonl"
    assert first.read_bytes().count(b"\n") == 2
    assert run_folder.read_result(killed.job.id) == killed


def check_one_failure_does_not_stop_the_others(engine: AnyEngine, folder: Path) -> None:
    _, results = run_echo(engine, folder, "crash", "good")
    assert [result.status for result in results] == ["failed", "ok"]


def check_a_hanging_job_is_killed(engine: AnyEngine, folder: Path) -> None:
    with at_most(60):
        _, (result,) = run_echo(engine, folder, "hang", timeout=2.0)
    assert (result.status, why(result).kind) == ("timeout", "timeout")
    assert result.start is not None


def check_a_flood_is_stopped(engine: AnyEngine, folder: Path) -> None:
    with at_most(60):
        run_folder, (result,) = run_echo(engine, folder, "flood")
    assert (why(result).kind, why(result).message) == ("protocol", "a line is longer than 1 MiB")
    assert (run_folder.path / f"{result.job.id}.log").stat().st_size <= 64 << 20


def check_an_endless_stream_is_stopped(engine: AnyEngine, folder: Path) -> None:
    with at_most(60):
        _, (result,) = run_echo(engine, folder, "endless")
    assert (why(result).kind, why(result).message) == ("protocol", "more than 1,000 artifacts")


def check_chatter_goes_to_the_log(engine: AnyEngine, folder: Path) -> None:
    run_folder, (result,) = run_echo(engine, folder, "chatty")
    assert result.status == "ok", result.failure
    log = (run_folder.path / f"{result.job.id}.log").read_bytes()
    assert b"loading \xff\xfe libraries ...\n" in log
    # The two streams are not ordered against each other, so stdout may come between the halves of a line of stderr.
    assert b"warning: \xf0\x9f" in log
    assert b"\x98\x80 is split\n" in log
    assert b"x" * 300000 in log


def check_a_memory_limit_holds(engine: AnyEngine, folder: Path) -> None:
    with at_most(120):
        _, (result,) = run_echo(engine, folder, "greedy", memory=512 << 20)
    assert (result.status, why(result).kind) == ("failed", "out_of_memory")


@contextlib.contextmanager
def burners(folder: Path, count: int, name: str = "burner") -> Iterator[None]:
    """So many programs of this name, each of which keeps a CPU busy."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).symlink_to(sys.executable)
    with contextlib.ExitStack() as running:
        for _ in range(count):
            burner = running.enter_context(subprocess.Popen([folder / name, "-S", "-c", "while True: pass"]))
            running.callback(burner.kill)
        yield


def check_a_busy_neighbour_is_reported_under_the_table(engine: AnyEngine, folder: Path) -> None:
    """More programs than CPUs, as long as the job runs: it is marked, with what they took and the names."""
    given = len(machine.inspect().cpus)
    with burners(folder / "burners", given + 1):
        _, (result,) = run_echo(engine, folder, "slow")
    assert result.status == "ok", result.failure
    used = usage_of(result)
    assert used.cpus_given == given
    assert used.others_cpus is not None, used
    assert used.others_cpus >= given / 2, used
    (table,) = tables.tables([result], published.load(ECHO.parent.parent / "results" / "reference" / "2017.json"))
    (note,) = (note for note in table.notes if note.startswith("slow: disturbed: other programs used "))
    assert "burner " in note, note
    assert isinstance(table.rows[0][1], Doubtful), table.rows


class BusyMeanwhile(Silent):
    """A listener during which a program comes when the job is ready, and goes long before it ends."""

    SECONDS = 2.2  # other programs are looked for once a second

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._thread = threading.Thread(target=self._burn)

    def job_event(self, job: Job, event: Event) -> None:
        super().job_event(job, event)
        if isinstance(event, Ready):
            self._thread.start()

    def wait(self) -> None:
        self._thread.join()

    def _burn(self) -> None:
        with burners(self._folder, 1, "came-and-went"):
            time.sleep(self.SECONDS)


def check_a_program_that_came_and_went_is_counted(engine: AnyEngine, folder: Path) -> None:
    meanwhile = BusyMeanwhile(folder / "burners")
    _, (result,) = run_echo(engine, folder, "slow", listener=meanwhile)
    meanwhile.wait()
    assert result.status == "ok", result.failure
    used = usage_of(result)
    assert used.others_cpus is not None, used
    assert used.others_cpus >= 0.3, used  # it had at least a share of one CPU for most of three seconds
    assert "came-and-went" in {neighbour.name for neighbour in result.neighbours}, result.neighbours


def check_use_of_memory_and_cpus_is_reported(engine: AnyEngine, folder: Path) -> None:
    """200 MB and one CPU for a second and a half, or longer on a busy machine: each at least as long as asked for."""
    run_folder, (result,) = run_echo(engine, folder, "busy")
    used = usage_of(result)
    assert result.status == "ok", result.failure
    assert not used.notes
    assert used.memory_peak is not None, used
    assert used.cpus is not None, used
    assert 200 << 20 <= used.memory_peak < 400 << 20, used
    assert 1.2 <= used.cpus * used.seconds < 2.2, used  # CPU seconds
    assert used.cpus < 1.5, used
    assert used.usage_source
    lines = (run_folder.path / f"{result.job.id}.telemetry.jsonl").read_text().splitlines()
    assert len(lines) == 1 + used.samples
    assert max(json.loads(line)["memory"] for line in lines[1:] if "memory" in line) >= 200 << 20


def check_failed_jobs_have_telemetry_too(engine: AnyEngine, folder: Path) -> None:
    _, results = run_echo(engine, folder, "crash", "hang", timeout=2.0)
    assert [result.status for result in results] == ["failed", "timeout"]
    assert all(usage_of(result).samples >= 1 for result in results)
    cpus = usage_of(results[1]).cpus
    assert cpus is not None
    assert cpus < 0.5


class Talkative(Silent):
    """Repeats on standard output what the job says, and what is logged."""

    def __init__(self) -> None:
        super().__init__()
        logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.WARNING)

    def job_event(self, job: Job, event: Event) -> None:
        print(event.event, flush=True)  # noqa: T201


@contextlib.contextmanager
def hanging(engine: AnyEngine, folder: Path, *cluster: str) -> Iterator[subprocess.Popen[str]]:
    """An orchestrator in a process of its own, running a job that ignores SIGTERM; nothing of it may survive.

    `cluster` is the address, and the engine of the nodes, where it is not to be one of its own.
    """
    source = (
        "import sys, pathlib\n"
        "from tests.support import engine_cases as cases\n"
        "folder = pathlib.Path(sys.argv[2])\n"
        "engine = cases.engine_called(sys.argv[1], folder, *sys.argv[3:])\n"
        "cases.run_echo(engine, folder, 'hang', listener=cases.Talkative())\n"
    )
    argv = [sys.executable, "-c", source, engine.name, str(folder), *cluster]
    since = time.time()
    with subprocess.Popen(
        argv, cwd=ECHO.parent.parent, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as orchestrator:
        assert [line_of(orchestrator) for _ in range(2)] == ["start\n", "ready\n"]
        assert echoes(since)
        yield orchestrator
        orchestrator.wait(30)
    deadline = time.monotonic() + 10
    while left := echoes(since):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def line_of(orchestrator: subprocess.Popen[str]) -> str:
    """The next line that it prints."""
    assert orchestrator.stdout is not None
    return orchestrator.stdout.readline()


def stored(folder: RunFolder) -> Result:
    """The result of the job of `hanging`."""
    result = folder.read_result("hang-resnet50-cpu-1")
    assert result is not None
    return result


def check_nothing_survives_a_killed_orchestrator(engine: AnyEngine, folder: Path) -> None:
    """SIGKILL leaves no time to clean up: the watchdog does it."""
    with hanging(engine, folder) as orchestrator:
        orchestrator.kill()


def check_an_interruption_keeps_what_is_known(engine: AnyEngine, folder: Path) -> None:
    with hanging(engine, folder) as orchestrator:
        orchestrator.send_signal(signal.SIGINT)
        assert "press Ctrl-C again" in line_of(orchestrator)
        orchestrator.wait(STOP_GRACE + 10)
    (path,) = (folder / "results").iterdir()
    result = stored(RunFolder(path))
    assert (result.status, why(result).kind) == ("interrupted", "interrupted")
    assert result.start is not None
    assert result.telemetry is not None


def check_a_second_interruption_does_not_wait(engine: AnyEngine, folder: Path) -> None:
    with hanging(engine, folder) as orchestrator:
        orchestrator.send_signal(signal.SIGINT)
        assert "press Ctrl-C again" in line_of(orchestrator)
        with at_most(STOP_GRACE):
            time.sleep(0.2)
            orchestrator.send_signal(signal.SIGINT)
            orchestrator.wait()
    (path,) = (folder / "results").iterdir()
    assert stored(RunFolder(path)).status == "interrupted"


def engine_called(name: str, folder: Path, address: str = "auto", choice: str = "auto") -> AnyEngine:
    """A new engine, as a process of its own needs one."""
    if name == "process":
        return ProcessEngine(cache=folder / "cache", pythons={"echo": Path(sys.executable)})
    if name == "ray":
        pythons = {} if choice == "docker" else {"echo": Path(sys.executable)}
        setup = Setup(root=ECHO, cache=folder / "cache", pythons=pythons, address=address, node_engine=choice)
        return registry.connect("ray", setup)
    from orchestrator.engines.docker import engine as docker

    return docker.connect()


def echoes(since: float) -> list[int]:
    """The echo workloads that run on this machine, in containers or not, and were started after `since`."""
    found = psutil.process_iter(["cmdline", "create_time"])
    return [
        process.pid
        for process in found
        if process.info["create_time"] >= since - 1 and "workloads.echo.resnet50" in (process.info["cmdline"] or ())
    ]
