"""workloads/common_js/bench.js against bench.py's golden streams of inference."""

import json
import os
import shutil
import subprocess

import numpy as np
import pytest

from orchestrator.record.artifacts import PART
from orchestrator.record.events import Reader
from tests import golden

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")


@pytest.fixture
def inputs(tmp_path):
    golden.write_inputs(tmp_path)
    return tmp_path


@pytest.fixture
def run(root, inputs):
    def call(story, *, program="tests/golden/tiny.js", **changes):
        job = {**golden.JOB, "settings": {**golden.LONGER, "seconds": 0.0}, **changes}
        (inputs / "spec.json").write_text(json.dumps(job))
        variables = {**os.environ, "BENCH_SPEC": str(inputs / "spec.json"), "BENCH_INPUTS": str(inputs)}
        return subprocess.run(
            ["node", program, story], cwd=root, env=variables, capture_output=True, timeout=120, check=False
        )

    return call


@pytest.mark.parametrize("story", ["extract", "refuse"])
def test_golden_streams(run, story):
    done = run(story)
    assert done.returncode == golden.STORIES[story], done.stderr.decode()
    assert golden.masked(done.stdout) == golden.expected(story)
    reader = Reader()
    for line in done.stdout.splitlines():
        if not line.startswith(PART):
            reader.read(line)
    assert reader.over
    assert json.loads(done.stdout.splitlines()[0])["denormals"] == "kept"  # JavaScript cannot flush them


def test_timed_passes_are_repeated(run):
    golden.check_passes(run("extract", settings=golden.LONGER).stdout)


def test_an_artifact_is_what_its_event_says(run):
    kept = golden.artifacts(run("extract").stdout)
    assert (kept["features-0.npy"].shape, kept["timed-0.npy"].shape) == ((2, 2048), (1, 2048))


def script(root, tmp_path, body):
    program = tmp_path / "program.js"
    helper = json.dumps(str(root / "workloads" / "common_js" / "bench.js"))
    program.write_text(f"const bench = require({helper});\nbench.main((job) => {{ {body} }});\n")
    return str(program)


def last(done):
    return json.loads(done.stdout.splitlines()[-1])


def test_weights_are_read_as_numpy_wrote_them(run, root, inputs):
    arrays = {"a.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4), "b": np.float32([1.5])}
    np.savez(inputs / "weights.npz", **arrays)
    body = """
        const found = Object.entries(job.weights()).map(([name, { shape, data }]) => [name, shape, [...data]]);
        job.start({ version: "1", notes: [JSON.stringify(found)] });
    """
    done = run("", program=script(root, inputs, body))
    (start, end) = (json.loads(line) for line in done.stdout.splitlines())
    found = {name: np.float32(data).reshape(shape) for name, shape, data in json.loads(start["notes"][0])}
    assert found.keys() == arrays.keys()
    assert all((found[name] == arrays[name]).all() for name in arrays)
    assert end["event"] == "end"


def test_what_is_printed_never_reaches_the_event_stream(run, root, inputs):
    done = run("", program=script(root, inputs, "console.log('chatter')"))
    assert b"chatter" not in done.stdout
    assert b"chatter" in done.stderr


@pytest.mark.parametrize(
    ("name", "keep"), [("images.npy", None), ("images.npy", 40), ("weights.npz", None), ("weights.npz", 40)]
)
def test_a_missing_or_truncated_input_is_named(run, root, inputs, name, keep):
    whole = (inputs / name).read_bytes()
    (inputs / name).unlink()
    if keep is not None:
        (inputs / name).write_bytes(whole[:keep])
    error = last(run("", program=script(root, inputs, "job.images(); job.weights();")))
    assert (error["event"], error["kind"]) == ("error", "input")
    assert name in error["message"]


def test_a_compressed_archive_is_refused_by_name(run, root, inputs):
    np.savez_compressed(inputs / "weights.npz", bias=np.ones(3, np.float32))
    error = last(run("", program=script(root, inputs, "job.weights()")))
    assert (error["kind"], error["message"]) == ("input", "weights.npz: bias.npy is compressed")


def test_another_protocol_is_refused(run):
    done = run("extract", protocol=1)
    assert done.returncode == 1
    assert "speaks protocol 2, the job 1" in last(done)["message"]


@pytest.mark.parametrize(
    ("throw", "kind"),
    [("new bench.Diverged('x')", "diverged"), ("new Error('std::bad_alloc')", "out_of_memory"), ("new Error('oops')", "exception")],
)  # fmt: skip
def test_failures_have_a_class(run, root, inputs, throw, kind):
    done = run("", program=script(root, inputs, f"throw {throw};"))
    assert (done.returncode, last(done)["kind"]) == (1, kind)


def test_features_that_are_not_finite_are_a_divergence(run, root, inputs):
    body = """
        job.start({ version: "1" });
        job.ready();
        return job.extract(() => new Float32Array(2 * 2048).fill(NaN), job.images(), () => {});
    """
    assert last(run("", program=script(root, inputs, body)))["kind"] == "diverged"
