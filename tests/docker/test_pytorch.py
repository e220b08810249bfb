"""What PyTorch's workloads promise of their rehearsal, in the real container."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.docker import pytorch_inside
from tests.support import checks, docker_images
from tests.support.checks import ROOT
from tests.support.small_job import SETTINGS, write_inputs

CHECK = checks.frameworks(
    "pytorch rehearsal",
    "tests/docker/test_pytorch.py",
    "pytorch",
    "pytorch-compile",
    inputs=("tests/docker/pytorch_inside.py",),
)
pytestmark = [pytest.mark.docker, checks.mark(CHECK)]


@pytest.fixture(scope="module")
def tag(docker_engine):
    return docker_images.for_cpus("pytorch")


@pytest.fixture(params=SETTINGS)
def inputs(request, tmp_path):
    """(workload, a folder with what its job finds below BENCH_INPUTS)"""
    write_inputs(request.param, tmp_path)
    return request.param, tmp_path


@pytest.mark.parametrize(("module", "rehearses"), [("pytorch", "runtime"), ("pytorch_compile", "inductor")])
def test_a_rehearsal_leaves_no_trace(tag, module, rehearses, inputs):
    """Its time is reported separately, and weights, optimizer and masks of dropout are as if there had been none."""
    workload, folder = inputs
    script = Path(pytorch_inside.__file__)
    argv = [
        "docker", "run", "--rm", "--network=none", f"--volume={ROOT / 'workloads'}:/bench/workloads:ro",
        f"--volume={script}:/check/{script.name}:ro", f"--volume={folder}:/inputs:ro", "--env=PYTHONPATH=/bench", tag,
        "python", f"/check/{script.name}", module, rehearses, workload, "/inputs",
    ]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    record = json.loads(done.stdout)
    assert record["rehearsed"].pop("compile_s") > 0
    del record["fresh"]["compile_s"]
    assert len(record["rehearsed"]["losses"]) == 3
    assert record["rehearsed"] == record["fresh"]
