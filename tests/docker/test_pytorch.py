"""What PyTorch's workloads promise of their rehearsal, in the real container."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from orchestrator.inputs import weights
from orchestrator.plan import catalog
from tests.docker import pytorch_inside
from tests.support.borrowed import borrowed

pytestmark = pytest.mark.docker

ROOT = Path(__file__).resolve().parents[2]
SAMPLES, BATCH = 24, 8
SETTINGS = {
    "cnn": {"lr": 0.01, "momentum": 0.9, "dropout_conv": 0.25, "dropout_dense": 0.5},
    "rnn": {"lr": 0.001, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8},
}
COUNTS = {"epochs": 1, "batch": BATCH, "train_samples": SAMPLES, "test_samples": SAMPLES}


@pytest.fixture(scope="module")
def tag(docker_engine):
    with borrowed(catalog.load(ROOT).frameworks["pytorch"][1], "cpu") as tag:
        yield tag


@pytest.fixture(params=SETTINGS)
def inputs(request, tmp_path):
    """(workload, a folder with what its job finds below BENCH_INPUTS)"""
    write_inputs(request.param, tmp_path)
    return request.param, tmp_path


def write_inputs(workload, folder):
    """Write what a small training job finds below BENCH_INPUTS, and settings.json."""
    draw = np.random.default_rng(1)
    for split in ("train", "test"):
        images = draw.integers(0, 256, (SAMPLES, 3, 32, 32), np.uint8)
        reviews = draw.integers(0, 30000, (SAMPLES, 150), np.int32)
        np.save(folder / f"x_{split}.npy", images if workload == "cnn" else reviews)
        np.save(folder / f"y_{split}.npy", draw.integers(0, 2, SAMPLES, np.int32))
    np.save(folder / "order.npy", np.arange(SAMPLES, dtype=np.int32)[None])
    np.savez(folder / "weights.npz", **weights.initial_weights(workload, seed=1))
    (folder / "settings.json").write_text(json.dumps({**COUNTS, **SETTINGS[workload]}))
    folder.chmod(0o755)


def test_a_rehearsal_leaves_no_trace(tag, inputs):
    """Its time is told apart, and weights, optimizer and masks of dropout are as if there had been none."""
    workload, folder = inputs
    script = Path(pytorch_inside.__file__)
    argv = [
        "docker", "run", "--rm", "--network=none", f"--volume={ROOT / 'workloads'}:/bench/workloads:ro",
        f"--volume={script}:/check/{script.name}:ro", f"--volume={folder}:/inputs:ro", "--env=PYTHONPATH=/bench", tag,
        "python", f"/check/{script.name}", workload, "/inputs",
    ]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout)
    assert told["rehearsed"].pop("compile_s") > 0
    del told["fresh"]["compile_s"]
    assert len(told["rehearsed"]["losses"]) == 3
    assert told["rehearsed"] == told["fresh"]
