"""workloads/common/bench.jl in a real Julia, the oldest it promises to run on, against bench.py's golden streams."""

import json
import os
import subprocess
import time

import numpy as np
import pytest

from orchestrator.engines.docker.builder import find_builder
from orchestrator.record.artifacts import PART
from orchestrator.record.events import Reader
from tests import golden
from tests.support import checks
from tests.support.docker_images import build_folder

PATHS = ("tests/julia", "tests/golden", "workloads")
CHECK = checks.frameworks("julia", "tests/docker/test_julia.py", inputs=PATHS)
pytestmark = [pytest.mark.docker, checks.mark(CHECK)]

IMAGE = "rosetta-test/julia"
BASE = "debian:bullseye-slim"
TINY = "tests/golden/tiny.jl"
INCLUDE = 'include("workloads/common/bench.jl");'
PARSE = """
broken(x) = x isa Expr && (x.head in (:error, :incomplete) || any(broken, x.args))
for path in ARGS
    broken(Base.parse_input_line(read(path, String); filename = path)) && println(path)
end
"""


@pytest.fixture(scope="module")
def docker(root, docker_engine):
    """The docker command, once the image of tests/julia/Dockerfile is built."""
    prefix = os.environ.get("ROSETTA_BASE_PREFIX")
    base = f"{prefix}/{BASE}" if prefix else BASE
    build_folder(root / "tests" / "julia", IMAGE, BASE_IMAGE=base)
    return str(find_builder().docker)


class Workload:
    """Runs Julia in a locked-down container, as the docker engine would run a workload."""

    def __init__(self, docker, root, folder):
        self.inputs, self.scripts, self._spec = folder / "inputs", folder / "scripts", folder / "spec.json"
        self.inputs.mkdir()
        self.scripts.mkdir()
        golden.write_inputs(self.inputs)
        self._docker, self._root = docker, root

    def argv(self, *julia, options=(), **changes):
        self._spec.write_text(json.dumps({**golden.JOB, **changes}))
        mounts = [
            f"{self._root / 'workloads'}:/bench/workloads:ro", f"{self._root / 'tests'}:/bench/tests:ro",
            f"{self.inputs}:/inputs:ro", f"{self._spec}:/spec.json:ro", f"{self.scripts}:/scripts:ro",
        ]  # fmt: skip
        return [
            self._docker, "run", "--rm", "--init", "--network=none", "--read-only", "--tmpfs=/tmp", "--user=1000:1000",
            "--cap-drop=ALL", "--security-opt=no-new-privileges", *(f"--volume={mount}" for mount in mounts),
            "--env=BENCH_SPEC=/spec.json", "--env=BENCH_INPUTS=/inputs", *options,
            IMAGE, "julia", *julia,
        ]  # fmt: skip

    def run(self, *julia, **changes):
        return subprocess.run(self.argv(*julia, **changes), capture_output=True, timeout=120, check=False)


@pytest.fixture
def workload(docker, root, tmp_path):
    return Workload(docker, root, tmp_path)


def last(done):
    return json.loads(done.stdout.splitlines()[-1])


def test_every_workload_in_julia_parses(workload, root):
    """Knet itself cannot be had here; of its workloads the language at least is right, on the oldest Julia there is."""
    paths = [str(path.relative_to(root)) for path in sorted((root / "workloads").rglob("*.jl"))]
    assert "workloads/knet/rnn.jl" in paths
    for name, text in (("unknown", "function f(x) x + end"), ("unfinished", "function f(x)")):
        (workload.scripts / f"{name}.jl").write_text(text)
    done = workload.run("-e", PARSE, *paths, "/scripts/unknown.jl", "/scripts/unfinished.jl")
    assert done.stdout.split() == [b"/scripts/unknown.jl", b"/scripts/unfinished.jl"], done.stderr.decode()


@pytest.mark.parametrize(("story", "code"), golden.STORIES.items())
def test_golden_streams(workload, story, code):
    done = workload.run(TINY, story)
    assert done.returncode == code, done.stderr.decode()
    assert golden.masked(done.stdout) == golden.expected(story)
    reader = Reader()
    for line in done.stdout.splitlines():
        if not line.startswith(PART):
            reader.read(line)
    assert reader.over


def test_timed_passes_are_repeated(workload):
    golden.check_passes(workload.run(TINY, "extract", settings=golden.LONGER).stdout)


def test_chatter_never_reaches_the_event_stream(workload):
    done = workload.run(TINY, "train")
    assert b"chatter" not in done.stdout
    assert b"a framework's chatter on stdout" in done.stderr
    assert b"a library's chatter on fd 1" in done.stderr


def test_an_artifact_is_what_its_event_says(workload):
    kept = golden.artifacts(workload.run(TINY, "train").stdout)
    assert kept["weights.npy"].tolist() == [1, 1, 1]
    features = golden.artifacts(workload.run(TINY, "extract").stdout)["features-0.npy"]
    assert (features.shape, features.dtype) == ((2, 2048), np.float32)


@pytest.mark.parametrize("cpus", [1, 2])
def test_threads_are_the_cpus_that_were_given(workload, cpus):
    available = sorted(os.sched_getaffinity(0))[:cpus]
    done = workload.run(TINY, "refuse", options=[f"--cpuset-cpus={','.join(map(str, available))}"])
    start = json.loads(done.stdout.splitlines()[0])
    assert start["threads"] == len(available)
    assert start["denormals"] == ("flushed" if os.uname().machine == "x86_64" else "kept")


def test_denormals_are_found_by_trying(workload):
    """In a program without bench.jl's preparations they are kept, and the same check says so."""
    script = 'include("workloads/common/startup.jl"); print(Startup.denormals_flushed())'
    assert workload.run("-e", script).stdout == b"false"
    # One thread that keeps them is enough, be it Julia's or OpenBLAS's.
    script += "; set_zero_subnormals(true); print(Startup.denormals_flushed())"
    done = workload.run("-e", script, options=["--env=JULIA_NUM_THREADS=2", "--env=OPENBLAS_NUM_THREADS=1"])
    assert done.stdout == b"falsefalse"


def test_json_keeps_text_as_it_is(workload):
    name = 'quotes " and \\, tab\tnewline\n, Ünïcödé 😀, \x01'
    start = json.loads(workload.run(TINY, "refuse", framework=name).stdout.splitlines()[0])
    assert start["framework"] == name


@pytest.mark.parametrize(
    ("name", "keep"),
    [("x_train.npy", None), ("x_train.npy", 3), ("x_train.npy", 40), ("x_train.npy", -1), ("order.npy", -1),
     ("weights.npz", None), ("weights.npz", 40)],
)  # fmt: skip
def test_a_missing_or_truncated_input_is_named(workload, name, keep):
    path = workload.inputs / name
    whole = path.read_bytes()
    path.unlink()
    if keep is not None:
        path.write_bytes(whole[:keep])
    error = last(workload.run(TINY, "train"))
    assert (error["event"], error["kind"]) == ("error", "input")
    assert name in error["message"]


def test_a_compressed_archive_is_refused_by_name(workload):
    np.savez_compressed(workload.inputs / "weights.npz", bias=np.ones(3, np.float32))
    error = last(workload.run(TINY, "train"))
    assert error["kind"] == "input"
    assert "bias.npy is compressed" in error["message"]


def test_another_protocol_is_refused(workload):
    done = workload.run(TINY, "train", protocol=1)
    assert done.returncode == 1
    assert b"speaks protocol 2, the job 1" in done.stdout


@pytest.mark.parametrize(
    ("throw", "kind"),
    [("OutOfMemoryError()", "out_of_memory"), ('ErrorException("CUDA error: no kernel image is available")', "unsupported"),
     ('ErrorException("oops")', "exception"), ('Bench.Diverged("")', "diverged")],
)  # fmt: skip
def test_failures_have_a_class(workload, throw, kind):
    done = workload.run("-e", f"{INCLUDE} Bench.main(job -> throw({throw}))")
    assert (done.returncode, last(done)["kind"]) == (1, kind)


def test_a_gpu_without_memory_is_known_in_every_framework_s_words(workload):
    """The same texts as for bench.py; all in one go, as starting Julia takes a second."""
    texts = json.dumps([f"{name}: {message}" for name, message in golden.OUT_OF_MEMORY.values()])
    classes = f'join([Bench.failure_class(ErrorException(text)) for text in {texts}], " ")'
    done = workload.run("-e", f"{INCLUDE} print({classes})")
    assert done.stderr.decode().split() == ["out_of_memory"] * len(golden.OUT_OF_MEMORY)  # stdout is for events


def test_a_crash_at_teardown_changes_nothing(workload):
    done = workload.run("-e", f"{INCLUDE} atexit(() -> ccall(:abort, Cvoid, ())); Bench.main(job -> nothing)")
    assert (done.returncode, last(done)["event"]) == (0, "end")


def test_a_full_pipe_makes_an_event_wait(workload):
    emit = 'for _ in 1:20_000; Bench.emit(job.events, "step"; loss = 0.5, notes = "x" ^ 200); end'
    with subprocess.Popen(workload.argv("-e", f"{INCLUDE} Bench.main(job -> {emit})"), stdout=subprocess.PIPE) as run:
        time.sleep(5)  # long enough for everything between us and Julia to fill up
        events = [json.loads(line) for line in run.stdout]
    assert [event["seq"] for event in events] == list(range(20_001))


def test_sigterm_ends_a_busy_workload(workload):
    """A loop Julia itself cannot interrupt."""
    script = f'{INCLUDE} Bench.main(job -> (Bench.start(job; version = "1"); while true; end))'
    with subprocess.Popen(workload.argv("-e", script), stdout=subprocess.PIPE) as run:
        assert b'"start"' in run.stdout.readline()
        began = time.monotonic()
        run.terminate()
        assert run.wait(timeout=60) != 0
    assert time.monotonic() - began < 5
