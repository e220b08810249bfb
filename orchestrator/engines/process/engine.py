"""The process engine: a virtual environment per image, a child process per job. It needs no daemon.

It measures as well as the docker engine does, but it does not isolate: a workload can read what its user can read.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import psutil

from orchestrator import signals
from orchestrator.engines import leftovers
from orchestrator.engines.base import STOP_GRACE, TICK, EngineError, Environment, Exit, Launch, Output, job_variables
from orchestrator.engines.process import pythons, venvs
from orchestrator.engines.pump import Pump
from orchestrator.engines.watchdog import Watchdog
from orchestrator.errors import HostError
from orchestrator.host import scheduling
from orchestrator.host.samples import ResourceUsage
from orchestrator.plan.catalog import Image

_log = logging.getLogger(__name__)

CHUNK = 1 << 16
# What a job inherits: where libraries and GPUs are (HPC modules set these), not how libraries are tuned.
INHERITED = ("PATH", "LD_LIBRARY_PATH", "CUDA_HOME", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "TZ")


class ProcessEngine:
    """Runs jobs as children of this process; meets base.LocalEngine."""

    name = "process"

    def __init__(self, *, cache: Path, pythons: Mapping[str, Path]) -> None:
        self._cache = cache
        self._pythons = pythons
        self._watchdog = Watchdog()

    def gpu_problem(self) -> str | None:
        return None  # children see every GPU their parent sees

    def facts(self) -> Mapping[str, Any]:
        return {}

    def prepare(self, image: Image, variant: str) -> Environment:
        if image.python is None:
            raise HostError(
                f"image {image.name!r} is not a Python environment: only the docker engine can run it",
                hint="start Docker and use --engine docker (`rosetta doctor` shows what Docker lacks); or leave "
                "these frameworks out",
            )
        given = self._pythons.get(image.name)
        if given is not None:
            version = pythons.check(given)
            facts = {"python": version, "interpreter": str(given), "lock_sha256": None, "given_by_user": True}
            return Environment(handle=str(given), facts=facts)
        interpreter = pythons.find(image.python, image.name)
        return venvs.ensure(image, variant, interpreter, self._cache / "venvs")

    @contextlib.contextmanager
    def run(self, environment: Environment, launch: Launch) -> Iterator[RunningProcess]:
        with leftovers.job_folder() as place:
            _lay_out(place, launch)
            child = RunningProcess(
                _start(environment, launch, place), memory=launch.job.memory, memory_limit=launch.memory_limit
            )
            try:
                with self._watchdog.cleaning_up(_killing(child.group)):
                    try:
                        yield child
                    finally:
                        child.kill()  # before the clean-up command is withdrawn
            finally:
                child.kill()


def _lay_out(place: Path, launch: Launch) -> None:
    """The same layout a container has: workloads/, inputs/ and home/ below the working directory."""
    (place / "workloads").symlink_to(launch.workloads.resolve(), target_is_directory=True)
    (place / "inputs").mkdir()
    (place / "home").mkdir()
    for name, path in launch.inputs.items():
        (place / "inputs" / name).symlink_to(path.resolve())
    shutil.copyfile(launch.spec, place / "spec.json")


def _start(environment: Environment, launch: Launch, place: Path) -> subprocess.Popen[bytes]:
    variables = {name: os.environ[name] for name in INHERITED if name in os.environ}
    variables |= job_variables(
        launch,
        spec=str(place / "spec.json"),
        inputs=str(place / "inputs"),
        home=str(place / "home"),
    )
    if launch.gpus:
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(gpu.uuid for gpu in launch.gpus)
    variables["TMPDIR"] = str(place / "home")
    variables["PYTHONNOUSERSITE"] = "1"
    variables["PATH"] = f"{Path(environment.handle).parent}{os.pathsep}{variables.get('PATH', os.defpath)}"
    argv = [environment.handle, *launch.job.argv[1:]]
    try:
        with _affinity(launch.cpus):
            return subprocess.Popen(
                argv,
                cwd=place,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # a process group of its own, so that its children can be ended with it
            )
    except OSError as error:
        raise EngineError(
            f"cannot start {argv[0]}: {error}", hint="remove the cached environment and try again"
        ) from error


def _killing(group: int) -> list[str]:
    """A command that ends a process group."""
    return [sys.executable, "-I", "-S", "-c", f"import os; os.killpg({group}, {signal.SIGKILL:d})"]


@contextlib.contextmanager
def _affinity(cpus: tuple[int, ...]) -> Iterator[None]:
    """Children started in this block may use `cpus` only: affinity is inherited from the thread that forks."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class RunningProcess:
    """A running child process and its group.

    It may use `memory` bytes, which is checked here; the kernel checks `memory_limit`, that of the control groups.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], *, memory: int | None = None, memory_limit: int | None = None
    ) -> None:
        self._process = process
        self._memory = memory
        self._memory_limit = memory_limit
        self._out_of_memory = False
        self._kernel_kills = _kernel_kills()
        self._memory_peak = 0
        self._cpu_seconds = 0.0
        self._quotas = scheduling.quota_files(process.pid)
        self._pump = Pump(_read(process))

    @property
    def group(self) -> int:
        """The process group of the job."""
        return self._process.pid

    def output(self) -> Iterator[Output | None]:
        due = 0.0
        for output in self._pump.outputs():
            # By the clock and not in pauses of the output, since a job may never pause.
            if self._memory is not None and (now := time.monotonic()) >= due:
                due = now + TICK
                if self._group_memory() > self._memory:
                    self._out_of_memory = True
                    self._signal(signal.SIGKILL)
            yield output
        # Both pipes are closed; the process may still run, and its reader may stop it meanwhile.
        while self._process.poll() is None:
            time.sleep(0.01)
            yield None

    def usage(self) -> ResourceUsage | None:
        cpu_seconds, memory = 0.0, 0
        for member in self._members():
            with contextlib.suppress(psutil.Error), member.oneshot():
                times = member.cpu_times()
                # The times of a child that has ended and was waited for are in its parent's.
                cpu_seconds += times.user + times.system + times.children_user + times.children_system
                memory += member.memory_info().rss
        if not memory:
            return None
        self._memory_peak = max(self._memory_peak, memory)
        self._cpu_seconds = max(self._cpu_seconds, cpu_seconds)  # less only when an orphan ended
        return ResourceUsage(
            cpu_seconds=self._cpu_seconds,
            memory=memory,
            memory_peak=self._memory_peak,
            source="processes, sampled",
            throttled=scheduling.throttled(self._quotas),
        )

    def pids(self) -> frozenset[int]:
        return frozenset(member.pid for member in self._members())

    def stop(self) -> None:
        self._pump.relax()
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_GRACE
        while self._process.poll() is None and time.monotonic() < deadline and not signals.insisted():
            time.sleep(0.01)
        self._signal(signal.SIGKILL)

    def kill(self) -> None:
        """End the whole group at once, whatever state it is in, and reap the child."""
        self._pump.relax()
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._pump.join(1)  # a grandchild that left the group may hold the pipes open for ever
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    @property
    def exit(self) -> Exit:
        code = self._process.returncode
        if code is None or code >= 0:
            return Exit(code=code, out_of_memory=self._out_of_memory, memory_limit=self._memory)
        if self._out_of_memory:
            return Exit(code=None, signal=-code, out_of_memory=True, memory_limit=self._memory)
        # When memory runs out the kernel kills processes, and the exit status does not say that it was the reason.
        by_the_kernel = code == -signal.SIGKILL and _kernel_kills() > self._kernel_kills
        return Exit(code=None, signal=-code, out_of_memory=by_the_kernel, memory_limit=self._memory_limit)

    def _signal(self, number: signal.Signals) -> None:
        # The group outlives its leader when the leader's own children still run.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _group_memory(self) -> int:
        """Resident bytes of the job's processes; a page that two of them share counts twice."""
        total = 0
        for member in self._members():
            with contextlib.suppress(psutil.Error):
                total += member.memory_info().rss
        return total

    def _members(self) -> Iterator[psutil.Process]:
        """The child and all its descendants, including those whose parent has ended.

        They share a session. Searching for children of children would read a file for every process of the machine.
        """
        for pid in psutil.pids():
            try:
                ours = os.getsid(pid) == self._process.pid
            except OSError:  # it has ended meanwhile
                continue
            if ours:
                with contextlib.suppress(psutil.Error):
                    yield psutil.Process(pid)


def _kernel_kills() -> int:
    """How many processes the kernel has killed since it booted because memory ran out; 0 where it does not count."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def _read(process: subprocess.Popen[bytes]) -> Iterator[Output]:
    """Both pipes of a child, chunk by chunk, until both are closed."""
    pipes: dict[IO[bytes], str] = {process.stdout: "stdout", process.stderr: "stderr"}  # type: ignore[dict-item]
    with selectors.DefaultSelector() as selector:
        for pipe, name in pipes.items():
            selector.register(pipe, selectors.EVENT_READ, name)
        while selector.get_map():
            for key, _ in selector.select():
                data = os.read(key.fd, CHUNK)
                if data:
                    yield Output(key.data, data)
                else:
                    selector.unregister(key.fileobj)
