"""workloads/common/bench.py against golden event streams, and what it promises to every framework."""

import json
import os
import subprocess
import sys
import types

import numpy as np
import pytest

from orchestrator.engines.process import pythons
from orchestrator.errors import HostError
from orchestrator.record.artifacts import PART
from orchestrator.record.events import Reader
from tests import golden
from tests.support.fake_cuda import Driver
from workloads.common import bench, cuda, epochs
from workloads.common.ring import Ring

NUMPY = {  # a release for each Python a workload may meet
    "3.6": "1.19.5", "3.7": "1.21.6", "3.8": "1.23.5", "3.9": "1.23.5",
    "3.10": "2.2.6", "3.11": "2.4.0", "3.12": "2.4.0", "3.13": "2.4.0",
}  # fmt: skip


@pytest.fixture
def run(root, tmp_path):
    """Run one of the tiny workloads of tests/golden/tiny.py as an engine would."""
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    golden.write_inputs(inputs)

    def call(what, *, python=sys.executable, packages=None, spec=tmp_path / "spec.json", **changes):
        (tmp_path / "spec.json").write_text(json.dumps({**golden.JOB, **changes}))
        variables = {
            "BENCH_SPEC": spec,
            "BENCH_INPUTS": inputs,
            "PYTHONPATH": os.pathsep.join(map(str, filter(None, [root, packages]))),
        }
        return subprocess.run(
            [python, str(root / "tests" / "golden" / "tiny.py"), what],
            capture_output=True, timeout=120, check=False, env={**os.environ, **{key: str(value) for key, value in variables.items()}},
        )  # fmt: skip

    return call


@pytest.mark.parametrize(("what", "code"), golden.STORIES.items())
def test_golden_streams(run, what, code):
    done = run(what)
    assert done.returncode == code, done.stderr.decode()
    events = golden.masked(done.stdout)
    if "ROSETTA_WRITE_GOLDEN" in os.environ:
        (golden.FOLDER / f"{what}.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    assert events == golden.expected(what)


def python_of(version):
    """A Python of this version. Where there is none the test is skipped, but in CI it fails: there all are expected."""
    try:
        return pythons.find(version, "numpy")
    except HostError as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(error.message)


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_a_missing_python_is_skipped_but_in_ci(monkeypatch, ci, outcome):
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match=r"3\.99"):
        python_of("3.99")


@pytest.fixture(scope="module", params=NUMPY)
def interpreter(request, tmp_path_factory):
    """A Python of this version, and a folder with the NumPy that frameworks of its time were used with."""
    python = python_of(request.param)
    packages = tmp_path_factory.mktemp(f"numpy-for-{request.param}")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
         "--only-binary=:all:", "--ignore-requires-python", f"--python-version={request.param}", f"--target={packages}", f"numpy=={NUMPY[request.param]}"],
        check=True, timeout=300,
    )  # fmt: skip
    return python, packages


@pytest.mark.slow
@pytest.mark.parametrize("what", golden.STORIES)
def test_golden_streams_on_every_python(interpreter, run, what):
    python, packages = interpreter
    done = run(what, python=python, packages=packages)
    assert golden.masked(done.stdout) == golden.expected(what), done.stderr.decode()


@pytest.mark.parametrize("what", golden.STORIES)
def test_the_host_reads_what_bench_writes(run, what):
    reader = Reader()
    for line in run(what).stdout.splitlines():
        if line.startswith(PART):
            continue
        reader.read(line)
    assert reader.over


def test_timed_passes_are_repeated(run):
    golden.check_passes(run("extract", settings=golden.LONGER).stdout)


@pytest.mark.parametrize("most", [1, 3, 4, 5])
def test_timed_passes_end_at_what_an_event_can_hold(monkeypatch, most):
    monkeypatch.setattr(bench, "MOST_BATCHES", most)
    events = []
    heard = types.SimpleNamespace(
        emit=lambda event, **fields: events.append((event, fields)), emit_parts=lambda data: None
    )
    spec = {**golden.JOB, "settings": {"seconds": 3600.0}}
    job = bench.Job(spec, "", heard)
    job.extract(lambda batch: np.zeros((2, 2048)), np.zeros((2, 2, 3, 1, 1)), sync=lambda: None)
    passes = {event: len(fields["batch_seconds"]) for event, fields in events if event != "artifact"}
    assert passes == {"cold": 2, "inference": max(2, most // 2 * 2)}


def test_chatter_never_reaches_the_event_stream(run):
    done = run("train")
    assert b"chatter" not in done.stdout
    assert b"a framework's chatter on stdout" in done.stderr


def test_denormals_are_flushed_where_the_cpu_is_known(run):
    start = json.loads(run("train").stdout.splitlines()[0])
    assert start["denormals"] == ("flushed" if os.uname().machine == "x86_64" else "kept")


FIRST, SECOND = "11111111-2222-3333-4444-555555555555", "66666666-7777-8888-9999-aaaaaaaaaaaa"


@pytest.mark.parametrize(
    ("driver", "seen"),
    [
        (Driver(FIRST, SECOND), [FIRST, SECOND]),
        (Driver(FIRST, version=1), [FIRST]),
        (Driver(FIRST, SECOND, broken=(0,)), [SECOND]),
        (Driver(), []),
    ],
)
def test_the_gpus_a_workload_sees_are_reported_by_the_driver(play, driver, seen):
    play(driver)
    assert cuda.visible_gpus() == [f"GPU-{each}" for each in seen]


def test_a_gpu_job_says_what_it_sees(run):
    on_cpu, on_gpu = (json.loads(run("train", device=device).stdout.splitlines()[0]) for device in ("cpu", "gpu"))
    assert "gpus" not in on_cpu
    assert isinstance(on_gpu["gpus"], list)  # empty without a driver


def test_an_artifact_is_what_its_event_says(run):
    done = run("train")
    kept = golden.artifacts(done.stdout)
    first_step, scores, weights = (event for event in golden.masked(done.stdout) if event["event"] == "artifact")
    assert first_step["name"] == "weights-1.bias.npy"
    for bias in (first_step, weights):
        assert kept[bias["name"]].tolist() == [1, 1, 1]
    assert kept[scores["name"]].tolist() == np.eye(10)[[0] * 6].tolist()  # all test samples, the last half batch too


def test_a_job_without_a_learning_curve_scores_only_the_last_epoch(run):
    done = run("train", learning_curve=False)
    events = [event["event"] for event in golden.masked(done.stdout) if event["event"] in ("epoch", "score")]
    assert events == ["epoch", "epoch", "score"]


def test_a_job_without_a_trace_keeps_neither_scores_nor_weights(run):
    done = run("train", trace=0)
    assert done.returncode == 0
    assert list(golden.artifacts(done.stdout)) == ["weights.npy"]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), "out_of_memory"),
        (RuntimeError("CUDA error: no kernel image is available for execution on the device"), "unsupported"),
        (RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"), "out_of_memory"),
        (NotImplementedError("fp64"), "unsupported"),
        (FileNotFoundError("nvcc"), "exception"),  # whatever a framework looks for, the data is there
        (ValueError("oops"), "exception"),
        (RuntimeError("the zoom when it failed"), "exception"),
    ],
)
def test_failures_have_a_class(error, kind):
    from workloads.common import events

    assert events.failure_class(error) == kind


@pytest.mark.parametrize("framework", golden.OUT_OF_MEMORY)
def test_a_gpu_without_memory_is_known_in_every_framework_s_words(framework):
    from workloads.common import events

    name, message = golden.OUT_OF_MEMORY[framework]
    assert events.failure_class(type(name, (Exception,), {})(message)) == "out_of_memory"


@pytest.mark.parametrize(
    ("name", "keep"),
    [("x_train.npy", None), ("x_train.npy", 0), ("x_train.npy", 40), ("x_train.npy", -1), ("order.npy", -1),
     ("weights.npz", None), ("weights.npz", 0), ("weights.npz", -40)],
)  # fmt: skip
def test_a_missing_or_truncated_input_is_named(run, tmp_path, name, keep):
    path = tmp_path / "inputs" / name
    whole = path.read_bytes()
    path.unlink()
    if keep is not None:
        path.write_bytes(whole[:keep])
    done = run("train")
    error = json.loads(done.stdout.splitlines()[-1])
    assert (error["event"], error["kind"]) == ("error", "input")
    assert name in error["message"]


def test_a_spec_that_is_no_json_is_named(run, tmp_path):
    (tmp_path / "no-spec.json").write_text("{")
    done = run("train", spec=tmp_path / "no-spec.json")
    (error,) = map(json.loads, done.stdout.splitlines())
    assert (error["event"], error["kind"]) == ("error", "input")
    assert "no-spec.json" in error["message"]


def test_seconds_are_read_on_an_idle_device_and_stand_still_while_weights_are_kept(monkeypatch, tmp_path):
    """The device finishes a tenth of a second after the loss is known; keeping weights takes a whole one."""
    now, said, events = [0.0], [], []
    monkeypatch.setattr(epochs, "clock", lambda: now[0])

    def passing(seconds):
        now[0] += seconds
        said.append(seconds)

    job = types.SimpleNamespace(
        settings={"batch": 1}, batch=1, rank=0, processes=1, keep_weights=lambda _: passing(1),
        events=types.SimpleNamespace(emit=lambda event, **fields: events.append((event, fields["seconds"]))),
    )  # fmt: skip
    epoch = epochs.Epoch(
        job, 1, [0, 1], sync=lambda: passing(0.1), weights=dict, trace=2, scored=False, keep_scores=False
    )
    for _ in epoch.batches(np.zeros(2), np.zeros(2)):
        epoch.step(0.5)
    assert [(event, pytest.approx(seconds)) for event, seconds in events] == [
        ("step", 0.1),
        ("step", 0.2),
        ("epoch", 0.3),
    ]
    assert said == [0.1, 0.1, 1, 0.1, 0.1]


def test_batches_are_gathered_into_the_slots_that_a_workload_gives():
    """The same batches as without; each slot is asked for when the step before is done."""
    x, y = np.arange(24, dtype=np.float32).reshape(6, 4), np.arange(6, dtype=np.int64)
    order, said = np.array([5, 0, 3, 2, 1, 4]), []
    job = types.SimpleNamespace(
        settings={"batch": 2}, batch=2, rank=0, processes=1, events=types.SimpleNamespace(emit=lambda *_, **__: None)
    )

    def epoch():
        return epochs.Epoch(job, 2, order, sync=lambda: None, weights=dict, trace=0, scored=False, keep_scores=False)

    slots = [(np.empty((2, 4), np.float32), np.empty(2, np.int64)) for _ in range(2)]

    def take():
        said.append("slot")
        return slots[said.count("slot") % 2]

    found = []
    gathered = epoch()
    for batch_x, batch_y in gathered.batches(x, y, take):
        assert any(batch_x is slot and batch_y is labels for slot, labels in slots)
        found.append((batch_x.copy(), batch_y.copy()))
        gathered.step(0.0)
        said.append("step")
    assert said == ["slot", "step"] * 3
    plain = epoch()
    for (slot_x, slot_y), (batch_x, batch_y) in zip(found, plain.batches(x, y), strict=True):
        assert slot_x.tolist() == batch_x.tolist()
        assert slot_y.tolist() == batch_y.tolist()
        plain.step(0.0)


def test_a_ring_fills_no_memory_that_the_device_still_reads():
    """A device that does what it is asked for only when somebody waits for it, as late as it can."""
    steps, done = 0, 0

    def mark():
        asked = steps

        def wait():
            nonlocal done
            done = max(done, asked)

        return wait

    x, y = np.zeros((10, 4), np.float32), np.zeros(10, np.int64)
    ring = Ring(x, y, 2, np.empty, mark, pairs=3)
    readers = {}  # the first number of a slot's memory → the step that reads it last
    for step in range(1, 12):
        batch_x, batch_y = ring()
        assert (batch_x.shape, batch_x.dtype, batch_y.shape, batch_y.dtype) == ((2, 4), np.float32, (2,), np.int64)
        assert readers.get(batch_x.ctypes.data, 0) <= done
        readers[batch_x.ctypes.data] = step
        steps = step
    assert len(readers) == 3
    assert done == 8  # 11 steps, of which the last three are still the device's


def test_another_protocol_is_refused(run):
    done = run("train", protocol=1)
    assert done.returncode == 1
    assert b"speaks protocol 2, the job 1" in done.stdout


def test_tf32_on_a_cpu_is_refused(run):
    done = run("train", precision="tf32")
    record = json.loads(done.stdout.splitlines()[-1])
    assert (record["event"], record["kind"], "only GPUs compute in tf32" in record["message"]) == (
        "error",
        "unsupported",
        True,
    )


def test_a_missing_input_is_distinguished(run):
    done = run("train", workload="cnn", settings={**golden.TRAINING, "epochs": 3})
    assert json.loads(done.stdout.splitlines()[-1])["kind"] == "exception"  # order.npy has two epochs only


def test_workloads_parse_on_the_oldest_python_there_is(root):
    """Python 3.6 where this machine has one; vermin, in `make lint`, says so everywhere."""
    python = python_of("3.6")
    paths = sorted(map(str, (root / "workloads").rglob("*.py")))
    assert len(paths) > 20
    check = "import sys\nfor path in sys.argv[1:]: compile(open(path, encoding='utf-8').read(), path, 'exec')"
    done = subprocess.run([str(python), "-c", check, *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_windows_of_a_text_and_the_characters_that_follow(tmp_path):
    np.save(tmp_path / "text_train.npy", np.arange(10, dtype=np.uint8))
    np.save(tmp_path / "text_test.npy", np.arange(50, 60, dtype=np.uint8))
    np.save(tmp_path / "order.npy", np.array([[6, 0], [3, 3], [1, 2], [5, 4]], np.int32))
    settings = {"epochs": 2, "steps": 2, "batch": 2, "context": 3, "train_samples": None, "test_samples": None}
    read, write = os.pipe()
    job = bench.Job({**golden.JOB, "trace": 0, "learning_curve": False, "settings": settings}, str(tmp_path),
                    bench.Events(write))  # fmt: skip
    x, y, x_test, y_test = job.windows(labels=np.int64)
    assert (x.dtype, y.dtype, len(x)) == (np.int32, np.int64, 7)
    assert (x[6].tolist(), y[6].tolist()) == ([6, 7, 8], [7, 8, 9])
    assert (x_test.tolist(), y_test[-1].tolist()) == ([[50, 51, 52], [53, 54, 55], [56, 57, 58]], [57, 58, 59])
    seen = []
    for epoch in job.epochs(sync=lambda: None, weights=dict):
        for inputs, labels in epoch.batches(x, y):
            assert (labels == inputs + 1).all()
            seen.append(inputs[:, 0].tolist())
            epoch.step(1.0)
        epoch.score_loss(lambda ids: np.zeros((*ids.shape, 65)), x_test, y_test)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        events = [json.loads(line) for line in stream]
    assert seen == [[6, 0], [3, 3], [1, 2], [5, 4]]
    assert [event["samples"] for event in events if event["event"] == "epoch"] == [12, 12]  # labels, not windows
    (score,) = (event for event in events if event["event"] == "score")
    assert (score["samples"], round(score["loss"], 4)) == (9, round(float(np.log(65)), 4))


def test_test_samples_of_a_text_are_characters(tmp_path):
    for split in ("train", "test"):
        np.save(tmp_path / f"text_{split}.npy", np.arange(20, dtype=np.uint8))
    settings = {"context": 3, "train_samples": 8, "test_samples": 7}
    job = bench.Job({**golden.JOB, "settings": settings}, str(tmp_path), None)
    x, _, x_test, _ = job.windows()
    assert (x[-1].tolist(), x_test.tolist()) == ([4, 5, 6], [[0, 1, 2], [3, 4, 5]])
