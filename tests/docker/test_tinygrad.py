"""What tinygrad's workloads promise of the threads that compute, in the real container."""

import subprocess

import pytest

from tests.support import checks, docker_images
from tests.support.checks import ROOT

CHECK = checks.frameworks("tinygrad threads", "tests/docker/test_tinygrad.py", "tinygrad")
pytestmark = [pytest.mark.docker, checks.mark(CHECK)]

# As in a job: denormals are flushed first, then tinygrad starts a thread for each device.
FLUSHED = """
from workloads.common import startup
if {flush}:
    startup.flush_denormals()
from workloads.tinygrad import runtime
import numpy as np
numbers = runtime.split(np.full(8, 1e-30, np.float32), ("CPU:0", "CPU:1"))
print((numbers * 1e-10).numpy().view(np.uint32).any())
"""


@pytest.mark.parametrize(("flush", "any_bit"), [(True, "False"), (False, "True")])
def test_denormals_are_flushed_in_the_threads_of_all_devices(docker_engine, flush, any_bit):
    tag = docker_images.for_cpus("tinygrad")
    argv = [
        "docker", "run", "--rm", "--network=none", f"--volume={ROOT / 'workloads'}:/bench/workloads:ro",
        "--env=PYTHONPATH=/bench", tag, "python", "-c", FLUSHED.format(flush=flush),
    ]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.strip() == any_bit, done.stderr[-4000:]
