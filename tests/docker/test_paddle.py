"""What PaddlePaddle's workloads promise of the threads that compute, in the real container."""

import subprocess

import pytest

from tests.support import checks, docker_images
from tests.support.checks import ROOT

CHECK = checks.frameworks("paddle threads", "tests/docker/test_paddle.py", "paddle")
pytestmark = [pytest.mark.docker, checks.mark(CHECK)]

# As in a job: denormals are flushed first, then PaddlePaddle starts its threads. All results are denormal.
FLUSHED = """
from workloads.common import startup
startup.use_given_cpus()
if {flush}:
    startup.flush_denormals()
import paddle

weights = paddle.nn.initializer.Constant(1e-17)
layer = paddle.nn.Linear(512, 512, weight_attr=weights, bias_attr=False)
x = paddle.full([512, 512], 1e-25)
for make in (lambda layer: layer, lambda layer: paddle.jit.to_static(layer, full_graph=True)):
    print((make(layer)(x).numpy().view("uint32") != 0).any())
"""


@pytest.mark.parametrize(("flush", "any_bit"), [(True, "False"), (False, "True")])
def test_denormals_are_flushed_in_all_threads_eager_or_not(docker_engine, flush, any_bit):
    tag = docker_images.for_cpus("paddle")
    argv = [
        "docker", "run", "--rm", "--network=none", f"--volume={ROOT / 'workloads'}:/bench/workloads:ro",
        "--env=PYTHONPATH=/bench", tag, "python", "-c", FLUSHED.format(flush=flush),
    ]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.split() == [any_bit, any_bit], done.stderr[-4000:]
