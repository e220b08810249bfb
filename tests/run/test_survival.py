"""A run survives its terminal and its signals, and nobody else writes into its folder."""

import contextlib
import json
import os
import pty
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator import leases, sealed
from orchestrator.cli.verbs import data
from orchestrator.errors import DataError, StoreError
from orchestrator.inputs import data_sources
from orchestrator.record.results import Failure
from orchestrator.record.run_folder import Run, RunFolder
from tests.support import checks, engine_cases
from tests.support.results import result

PAIRS = int(os.environ.get("ROSETTA_PAIRS", "24"))
SMALL = ["--framework", "numpy", "--workload", "resnet50", "--set", "resnet50.batch=1", "--set", "trace=0"]
PYTHON = ["--python", f"numpy={sys.executable}"]
SMALL += ["--engine", "process", *PYTHON]
ECHOES = (
    "import sys, pathlib\n"
    "from orchestrator import signals\n"
    "from tests.support import engine_cases as cases\n"
    "folder = pathlib.Path(sys.argv[1])\n"
    "signals.install()\n"
    "print('ready', flush=True)\n"
    "try:\n"
    "    cases.run_echo(cases.engine_called(sys.argv[2], folder), folder, 'good', 'slow', 'good2')\n"
    "except KeyboardInterrupt:\n"
    "    sys.exit(130)\n"
    "finally:\n"
    "    signals.ignore()\n"
)
TINY = ["--framework", "numpy", "--workload", "cnn", "--repeats", "2", "--engine", "process", "--set", "trace=0"]
TINY += [f"--set=cnn.{each}" for each in ("batch=1", "train_samples=2", "test_samples=1")]
IN_DOCKER = checks.engine("pairs of signals in docker", "tests/run/test_survival.py")


@pytest.fixture
def start(root, tmp_path):
    """Starts `rosetta bench` with a small job; it is killed at the end if it still runs."""
    started = []

    def call(*options, batches=1, **kwargs):
        # A run that goes on has its spec.
        job = (
            [*PYTHON] if "--resume" in options else ["configs/smoke.yaml", *SMALL, f"--set=resnet50.batches={batches}"]
        )
        argv = [sys.executable, "-m", "orchestrator", "bench", *job, *options, "--results", str(tmp_path / "results")]
        environment = {**os.environ, "ROSETTA_CACHE": str(tmp_path / "cache"), "COLUMNS": "200"}
        child = subprocess.Popen(argv, cwd=root, env=environment, **kwargs)
        started.append(child)
        return child

    yield call
    for child in started:
        child.kill()
        child.wait()


def running(results):
    """The folder of a run once its first job sends events."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for path in results.glob("*/*.jsonl"):
            if path.stat().st_size:
                return path.parent
        time.sleep(0.02)
    raise AssertionError("no job began")


def statuses(folder):
    return [result.status for result in RunFolder(folder).results()]


@pytest.mark.slow
@pytest.mark.parametrize(
    "engine", ["process", pytest.param("docker", marks=[pytest.mark.docker, checks.mark(IN_DOCKER)])]
)
def test_any_two_signals_at_any_moment_end_in_order(root, tmp_path, request, engine):
    """ROSETTA_PAIRS=500 makes it a long test."""
    if engine == "docker":
        request.getfixturevalue("docker_engine")
    draw = random.Random(2)  # noqa: S311  (moments, not secrets)
    whole, codes = None, set()
    for number in range(PAIRS if engine == "process" else PAIRS // 3):
        folder, since = tmp_path / str(number), time.time()
        moments = () if whole is None else pair(draw, whole)
        code, errors, seconds = interrupted(root, folder, engine, moments, draw)
        whole = whole or seconds
        codes.add(code)
        assert code in {0, 130}, errors
        assert "Traceback" not in errors
        assert "Exception ignored" not in errors
        with engine_cases.at_most(10):
            while engine_cases.echoes(since):
                time.sleep(0.02)
        assert not list(folder.glob("tmp/rosetta-job-*"))
        for path in folder.glob("results/*"):
            check_stored(path)
    assert codes == {0, 130}


def pair(draw, whole):
    """Two moments in a run that takes `whole` seconds; often close together."""
    first = draw.uniform(0, whole)
    return first, first + draw.choice([0.0, 0.001, 0.01, draw.uniform(0, 0.3), draw.uniform(0, whole)])


def interrupted(root, folder, engine, moments, draw):
    """Run three echoes, with a signal at each of `moments`: exit code, what it printed to stderr, and seconds."""
    (folder / "tmp").mkdir(parents=True)
    with subprocess.Popen(
        [sys.executable, "-c", ECHOES, str(folder), engine], cwd=root, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "TMPDIR": str(folder / "tmp")},
    ) as child:  # fmt: skip
        assert child.stdout.readline() == "ready\n"
        began = time.monotonic()
        for moment in moments:
            time.sleep(max(0.0, began + moment - time.monotonic()))
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(draw.choice([signal.SIGINT, signal.SIGTERM]))
        _, errors = child.communicate(timeout=60)
        return child.returncode, errors, time.monotonic() - began


DEFERRED = """
import os, signal
from orchestrator import signals
signals.install()
try:
    with signals.deferred():
        with signals.deferred():
            os.kill(os.getpid(), signal.SIGINT)
        print("goes on")
    print("not reached")
except KeyboardInterrupt:
    print("interrupted")
with signals.deferred():
    os.kill(os.getpid(), signal.SIGTERM)
print("cleaned up")
signals.check()
"""


def test_a_signal_is_raised_once_when_the_outermost_block_ends(root):
    """Clean-up that follows may use the display, and defers signals too: it must not be interrupted again."""
    done = subprocess.run([sys.executable, "-c", DEFERRED], cwd=root, capture_output=True, text=True, check=False)
    assert done.stdout.split("\n") == ["goes on", "interrupted", "cleaned up", ""]
    assert "KeyboardInterrupt" in done.stderr  # of the check at the end


@pytest.mark.slow
def test_any_two_signals_while_progress_is_drawn_end_in_order(root, tmp_path):
    """The real command line, with its display on a terminal."""
    draw = random.Random(PAIRS)  # noqa: S311  (moments, not secrets)
    whole, codes = 0.0, set()
    for number in range(2 + PAIRS // 4):  # the first makes the environment, the second shows how long a run takes
        moments = () if number < 2 else pair(draw, whole)
        code, screen, seconds = interrupted_on_a_terminal(root, tmp_path / str(number), tmp_path, moments, draw)
        whole = seconds if number < 2 else whole
        codes.add(code)
        assert code in {0, 130}, screen
        assert "Traceback" not in screen
        assert "Exception ignored" not in screen
        for path in (tmp_path / str(number)).glob("*"):
            check_stored(path)
    assert codes == {0, 130}


def interrupted_on_a_terminal(root, results, cache, moments, draw):
    """Run two tiny jobs, with a signal at each of `moments` after the first line: exit code, the screen, and seconds."""
    argv = [sys.executable, "-m", "orchestrator", "bench", "configs/smoke.yaml", *TINY, "--results", str(results)]
    argv += ["--python", f"numpy={sys.executable}"]
    environment = {**os.environ, "ROSETTA_CACHE": str(cache / "cache"), "TERM": "xterm", "PYTHONFAULTHANDLER": "1"}
    master, terminal = pty.openpty()
    with subprocess.Popen(
        argv, cwd=root, env=environment, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True
    ) as child, ThreadPoolExecutor(1) as reader:  # fmt: skip
        os.close(terminal)
        shown = [os.read(master, 1 << 16)]
        began = time.monotonic()
        rest = reader.submit(read_all, master)
        for moment in moments:
            time.sleep(max(0.0, began + moment - time.monotonic()))
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(draw.choice([signal.SIGINT, signal.SIGTERM]))
        try:
            child.wait(timeout=90)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGABRT)  # the fault handler prints where all threads are
            child.wait(timeout=10)
        seconds = time.monotonic() - began
        shown.append(rest.result(timeout=10))
    os.close(master)
    return child.returncode, b"".join(shown).decode(), seconds


def read_all(master):
    """What a terminal shows until nobody has it open any more."""
    shown = b""
    with contextlib.suppress(OSError):  # on Linux EIO, when the last program has closed it
        while chunk := os.read(master, 1 << 16):
            shown += chunk
    return shown


def check_stored(path):
    """Every job that began has a result, and no file is half written."""
    begun = sorted(each.name.removesuffix(".jsonl") for each in path.glob("*-[12].jsonl"))
    results = [sealed.load(each, engine_cases.Result) for each in path.glob("*-[12].json")]
    assert sorted(each.job.id for each in results) == begun
    assert {each.status for each in results} <= {"ok", "interrupted"}
    assert not list(path.glob(".*.tmp"))


@pytest.mark.slow
def test_a_closed_terminal_costs_the_screen_only(start, tmp_path):
    """The terminal goes away in the middle of the first of two jobs: SIGHUP, and every write fails from then on."""
    master, terminal = pty.openpty()
    child = start("--repeats", "2", batches=8, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True)
    os.close(terminal)
    folder = running(tmp_path / "results")
    os.close(master)
    child.send_signal(signal.SIGHUP)
    child.wait(timeout=300)
    assert statuses(folder) == ["ok", "ok"]


@pytest.mark.parametrize("ignored", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_is_ignored_stays_ignored(ignored):
    """As `nohup` and shells ask for, that run a program in the background of a script."""
    code = (
        "import os, signal, sys; from orchestrator import signals\n"
        "signal.signal(int(sys.argv[1]), signal.SIG_IGN); signals.install()\n"
        "os.kill(os.getpid(), int(sys.argv[1])); print('goes on', signals.asked())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(int(ignored))], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "goes on False\n", "")


@pytest.mark.slow
def test_readers_that_end_cost_the_screen_only(start, tmp_path):
    child = start(batches=8, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    folder = running(tmp_path / "results")
    child.stdout.close()
    child.stderr.close()
    child.wait(timeout=300)
    assert statuses(folder) == ["ok"]


@pytest.mark.slow
def test_a_run_has_one_writer(start, tmp_path):
    """--resume of a run that is running is refused, and says who runs it; `clean --all` leaves its cache alone."""
    child = start(batches=20, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    folder = running(tmp_path / "results")
    second = start("--resume", folder.name, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _, errors = second.communicate(timeout=60)
    assert second.returncode == 8
    assert f"is in use by process {child.pid} on " in " ".join(errors.split())
    environment = {
        **os.environ,
        "ROSETTA_CACHE": str(tmp_path / "cache"),
        "TMPDIR": str(tmp_path),
        "DOCKER_HOST": "unix:///-",
    }
    cleaned = subprocess.run(
        [sys.executable, "-m", "orchestrator", "clean", "--all", "--yes"], env=environment, capture_output=True,
        text=True, timeout=60, check=True,
    )  # fmt: skip
    assert f"in use by process {child.pid}" in " ".join((cleaned.stdout + cleaned.stderr).split())
    assert list((tmp_path / "cache" / "weights").iterdir())
    child.send_signal(signal.SIGINT)
    child.wait(timeout=60)
    assert leases.holder(folder / ".lease") is None


def test_a_lease_ends_with_its_holder(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", ("import pathlib, sys, time; from orchestrator import leases\n"
         "with leases.held(pathlib.Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(60)"), tmp_path / "x"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with holder:
        assert holder.stdout.readline() == "held\n"
        assert f"process {holder.pid} on " in leases.holder(tmp_path / "x")
        with pytest.raises(leases.TakenError, match=f"process {holder.pid} on "), leases.held(tmp_path / "x"):
            pass
        holder.kill()
        holder.wait()
    assert leases.holder(tmp_path / "x") is None
    with leases.held(tmp_path / "x"):
        pass


@pytest.mark.parametrize(
    ("kind", "again"), [("engine", True), ("disk", True), ("killed", True), ("timeout", False), ("exception", False)]
)
def test_resume_repeats_what_the_machine_broke(tmp_path, kind, again):
    folder = RunFolder.create(tmp_path, "x")
    failed = result(failure=Failure(kind=kind, message="x"))
    folder.write_result(failed)
    assert folder.missing([failed.job]) == ([failed.job] if again else [])


@pytest.fixture
def stored(root, run_small, tmp_path):
    """A run that has ended, and a function that stores its run.json with changes and resumes it."""
    (path,) = (tmp_path / "results").iterdir()
    folder = RunFolder(path)

    def resumed(change):
        before = folder.read_run()
        folder.write_run(change(before))
        try:
            return run_small("--resume", path.name)
        finally:
            folder.write_run(before)

    return resumed


@pytest.fixture
def run_small(start):
    def call(*options):
        child = start(*options, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        _, errors = child.communicate(timeout=120)
        return child.returncode, " ".join(errors.split())

    assert call()[0] == 0
    return call


@pytest.mark.slow
def test_a_stored_plan_is_data(stored, tmp_path):
    """A stranger's run.json: nothing of it runs but what its spec means in this checkout."""

    def with_job(**changes):
        return lambda run: run.model_copy(update={"jobs": tuple(job.model_copy(update=changes) for job in run.jobs)})

    marker = tmp_path / "ran"
    code, errors = stored(with_job(command=f"sh -c 'touch {marker}'", id="numpy-resnet50-cpu-1"))
    assert code == 8
    assert "plans it with another command" in errors
    assert not marker.exists()
    code, errors = stored(with_job(seed=7))
    assert "another seed: 7 in the run, 1 here" in errors
    for jobs, difference in (
        (lambda job: (job, job.model_copy(update={"id": f"{job.id[:-1]}2", "repeat": 2})), "would not plan it"),
        (lambda job: (job, job), "it has jobs more than once"),
        (lambda job: (), "it lacks numpy-resnet50-cpu-1"),
    ):
        code, errors = stored(lambda run, jobs=jobs: run.model_copy(update={"jobs": jobs(run.jobs[0])}))
        assert code == 8
        assert difference in errors
    assert stored(lambda run: run)[0] == 0


@pytest.mark.parametrize("name", [".lease", "orchestrator.log", "numpy-cnn-cpu-1.jsonl", "run.json"])
def test_nothing_is_written_through_a_link_in_a_run_folder(tmp_path, name):
    """A stranger's run folder may have links to files of the user, or to places where there is none yet."""
    (victim := tmp_path / "victim").write_text("precious")
    for target in (victim, tmp_path / "absent"):
        folder = RunFolder.create(tmp_path / "results", "x")
        (folder.path / name).symlink_to(target)
        with pytest.raises(StoreError, match=f"{name} is a link"), folder.held():
            pass
    assert victim.read_text() == "precious"
    assert not (tmp_path / "absent").exists()


def test_a_fifo_in_a_run_folder_is_refused_at_once(tmp_path):
    folder = RunFolder.create(tmp_path, "x")
    os.mkfifo(folder.path / "orchestrator.log")
    with pytest.raises(StoreError, match=r"orchestrator\.log is a link, a FIFO or a device"), folder.held():
        pass


def test_a_stored_id_is_no_path(tmp_path):
    folder = RunFolder(tmp_path)
    (tmp_path / "run.json").write_bytes(b'{"id": "../../victim/keep", "sha256": ""}')
    with pytest.raises(StoreError):
        folder.read_run()
    with pytest.raises(ValueError, match="pattern"):
        Run.model_validate_json(json.dumps({"id": "../../victim/keep"}))


@pytest.mark.parametrize("name", ["prepare", "import_"])
def test_clean_sees_who_prepares_or_imports_data(name, tmp_path, monkeypatch):
    """`clean --all` must not remove what is being written."""
    monkeypatch.setenv("ROSETTA_CACHE", str(tmp_path))
    users = []

    def asked(*_, **__):
        users.extend(leases.users(tmp_path))
        raise DataError("enough")

    for function in ("resolve", "import_"):
        monkeypatch.setattr(data_sources, function, asked)
    arguments = {"prepare": (["cifar10"],), "import_": ("cifar10", tmp_path)}[name]
    with pytest.raises(DataError, match="enough"):
        getattr(data, name)(*arguments)
    (user,) = users
    assert user.startswith(f"process {os.getpid()} on ")
    assert leases.users(tmp_path) == []
