"""What the workloads' runtimes set up before a job, asked of the real frameworks in their containers."""

import subprocess

import pytest

from tests.support import checks, docker_images
from tests.support.cells import KNOWN
from tests.support.checks import ROOT

JOB = """
from types import SimpleNamespace
job = SimpleNamespace(precision="fp32", device="cpu", seed=1, rank=0, ranks=1, threads=1, start=lambda **facts: None)
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
FLUSHED = {
    "onnxruntime": """
from workloads.onnxruntime import runtime
import onnxruntime
from onnx import TensorProto, helper
ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, normal.shape) for name in ("x", "y")]
graph = helper.make_graph([helper.make_node("Mul", ["x", "x"], ["y"])], "square", ports[:1], ports[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
session = onnxruntime.InferenceSession(model.SerializeToString(), runtime.start(job))
(squares,) = session.run(None, {"x": normal})
""",
    "openvino": """
from workloads.openvino import runtime
import openvino as ov
from openvino import opset15 as ops
x = ops.parameter(normal.shape, np.float32)
network = ov.Core().compile_model(ov.Model([ops.multiply(x, x)], [x]), "CPU", runtime.start(job))
squares = network(normal)[0]
""",
}
CHECK = checks.frameworks("runtimes", "tests/docker/test_runtimes.py", *NO_TF32, *FLUSHED, "chainer")
pytestmark = [pytest.mark.docker, checks.mark(CHECK)]
DENORMAL_SQUARES = """
from workloads.common import startup
startup.flush_denormals()
import numpy as np
normal = np.full((4, 1 << 20), 1e-20, np.float32)
job.threads = 2
"""
ZERO = """
assert startup.denormals_flushed()
assert not squares.view(np.uint32).any()  # as integers, because what compares floats would flush them too
"""
FULL_PRECISION = """
from workloads.openvino import runtime
import numpy as np, openvino as ov
from openvino import opset15 as ops, properties
x = ops.parameter([1], np.float32)
network = ov.Core().compile_model(ov.Model([ops.relu(x)], [x]), "CPU", runtime.start(job))
assert network.get_property(properties.hint.inference_precision) == ov.Type.f32
assert network.get_property(properties.inference_num_threads) == job.threads
assert network.get_property(properties.num_streams) == 1
"""
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


@pytest.mark.parametrize("framework", FLUSHED)
def test_threads_of_an_inference_engine_flush_denormals(docker_engine, framework):
    ask(framework, DENORMAL_SQUARES + FLUSHED[framework] + ZERO)


def test_openvino_gives_one_batch_all_threads_and_full_precision(docker_engine):
    ask("openvino", FULL_PRECISION)


def test_pytorch_keeps_images_in_the_order_that_its_device_is_fast_with(docker_engine):
    ask("pytorch", LAYOUTS)


def test_chainers_rehearsed_update_is_undone(docker_engine):
    """As it is done on a GPU only, where its kernels are compiled; shown on a CPU."""
    ask("chainer", UNDONE)
