"""What the workloads' runtimes set up before a job, asked of the real frameworks in their containers."""

import subprocess

import pytest

from tests.support import checks, docker_images
from tests.support.cells import KNOWN
from tests.support.checks import ROOT

JOB = """
from types import SimpleNamespace
job = SimpleNamespace(precision="fp32", device="cpu", seed=1, threads=1, start=lambda **facts: None)
"""
NO_TF32 = {
    "pytorch": """
from workloads.pytorch import runtime
import torch
torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
runtime.start(job)
assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == (False, False)
""",
    "tensorflow": """
from workloads.tensorflow import runtime
import tensorflow as tf
assert tf.config.experimental.tensor_float_32_execution_enabled()
runtime.start(job)
assert not tf.config.experimental.tensor_float_32_execution_enabled()
""",
    "keras-tf": """
from workloads.keras3 import runtime
import tensorflow as tf
runtime.start(job)
assert not tf.config.experimental.tensor_float_32_execution_enabled()
""",
    "keras-torch": """
from workloads.keras3 import runtime
import torch
torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
runtime.start(job)
assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == (False, False)
""",
    "keras-jax": """
from workloads.keras3 import runtime
import jax
runtime.start(job)
assert jax.config.jax_default_matmul_precision == "highest"
""",
    "jax": """
from workloads.jax import runtime
import jax
runtime.start(job)
assert jax.config.jax_default_matmul_precision == "highest"
""",
}
CHECK = checks.frameworks("runtimes", "tests/docker/test_runtimes.py", *NO_TF32, "chainer")
pytestmark = [pytest.mark.docker, checks.mark(CHECK)]
LAYOUTS = """
from workloads.pytorch import runtime
import torch
for device, precision, expected in (
    ("cpu", "fp32", "NHWC"), ("cpu", "amp", "NHWC"),
    ("cuda", "fp32", "NCHW"), ("cuda", "tf32", "NCHW"), ("cuda", "amp", "NHWC"),
):
    layout = runtime.image_layout(SimpleNamespace(precision=precision), torch.device(device))
    assert layout == expected, (device, precision, layout)
    images = runtime.as_nchw(torch.zeros((2, 3, 4, 5) if layout == "NCHW" else (2, 4, 5, 3)), layout)
    assert images.shape == (2, 3, 4, 5)
    assert images.is_contiguous(memory_format=runtime.MEMORY_FORMATS[layout])
"""
UNDONE = """
from workloads.chainer import runtime
import chainer, chainer.links as L, numpy as np
chainer.global_config.use_ideep = "never"
for optimizer in (chainer.optimizers.MomentumSGD(lr=0.1), runtime.Adam(epsilon=1e-8)):
    losses = {}
    for rehearsed in (False, True):
        model = chainer.Chain(fc=L.Linear(3, 2, initialW=0.5))
        optimizer.setup(model)
        def backward():
            loss = chainer.functions.softmax_cross_entropy(model.fc(np.eye(3, dtype="f")), np.array([0, 1, 1], "i"))
            model.cleargrads()
            loss.backward()
            return float(loss.array)
        if rehearsed:
            backward()
            runtime.step_and_back(optimizer)
        losses[rehearsed] = []
        for _ in range(3):
            losses[rehearsed].append(backward())
            optimizer.update()
    assert losses[True] == losses[False], losses
    assert len(set(losses[True])) == 3, losses
"""


def ask(framework, script):
    """Run a script that asserts things in the framework's own container."""
    row, _ = KNOWN.frameworks[framework]
    environment = [f"--env={name}={value}" for name, value in row.env.items()]
    argv = [
        "docker", "run", "--rm", "--network=none", f"--volume={ROOT / 'workloads'}:/bench/workloads:ro",
        "--env=PYTHONPATH=/bench", *environment, docker_images.for_cpus(framework), "python", "-c", JOB + script,
    ]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.mark.parametrize("framework", NO_TF32)
def test_fp32_is_no_tf32(docker_engine, framework):
    """By the framework's own switch, also where NVIDIA_TF32_OVERRIDE."""
    ask(framework, NO_TF32[framework])


def test_pytorch_keeps_images_in_the_order_that_its_device_is_fast_with(docker_engine):
    ask("pytorch", LAYOUTS)


def test_chainers_rehearsed_update_is_undone(docker_engine):
    """As it is done on a GPU only, where its kernels are compiled; shown on a CPU."""
    ask("chainer", UNDONE)
