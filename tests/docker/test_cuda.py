"""The images for GPUs, without one: their libraries are found, they import, and their labels say which GPUs they know.

They are large, so only those are checked that exist. ROSETTA_CUDA_IMAGES="cntk mxnet", or "all", builds what is missing
and removes it again, one image at a time. That they compute the right thing is checked on the CPU, in place of the
images for CPUs, with one workload. None of this runs a line of GPU code.
"""

import json
import os
import re
import subprocess
from pathlib import Path

import elftools
import pytest

from orchestrator.engines.base import Environment
from orchestrator.engines.docker import client, images
from orchestrator.errors import DiskError, OrchestratorError
from tests.docker import cuda_inside
from tests.support import checks
from tests.support.borrowed import borrowed, is_built
from tests.support.cells import KNOWN, assert_agreement, measurement
from tests.support.checks import REFERENCE, ROOT
from tests.support.docker_images import build_folder
from tests.support.small_job import write_inputs

pytestmark = pytest.mark.docker

IMAGES = {image.name: image for image in KNOWN.images if "cuda" in image.locks and image.python}
NAMED = os.environ.get("ROSETTA_CUDA_IMAGES", "").split()
WANTED = set(IMAGES) if NAMED == ["all"] else set(NAMED)
NVSHMEM = {  # several machines, of which there is one
    *("libfabric.so.1", "libmlx5.so.1"),  # InfiniBand and its like
    *("libmpi.so.40", "liboshmem.so.40", "libpmix.so.2", "libucp.so.0", "libucs.so.0"),  # what starts jobs there
}
# What an image lacks, and why nothing here needs it.
OPTIONAL = {
    "caffe2": set(),
    "chainer": {
        "libcutensor.so.1",  # of cupy.cutensor, an accelerator that must be asked for
        "libnccl.so.2",  # several GPUs
    },
    "cntk": {
        *("libjasper.so.1", "libjpeg.so.8", "libpng12.so.0", "libtiff.so.5"),  # readers of image files
        "/usr/local/halide/bin/libHalide.so",  # binary convolutions
    },
    "jax": NVSHMEM,
    "mxnet": set(),
    "pytorch": {
        *NVSHMEM,
        *("libibverbs.so.1", "librdmacm.so.1"),  # cuFile over InfiniBand
        "libtriton.so",  # of a test of Triton's plugins
    },
    "tensorflow": set(),
}
CUDNN_INSIDE = {"caffe2"}  # linked into the framework
USELESS_PTX = {"cntk"}  # it has PTX, but not of every kernel of its cuDNN: a job could end in the middle of it
COMPILER = """
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN apt-get update && apt-get install --yes --no-install-recommends gcc && rm -rf /var/lib/apt/lists/*
"""
DRIVER = """
ARG IMAGE
FROM rosetta-test/compiler AS driver
COPY driver.c /
RUN mkdir /driver && for name in libcuda.so.1 libnvidia-ml.so.1; do \
        gcc -shared -fPIC -w -nostdlib -Wl,-soname,$name -o /driver/$name /driver.c; done \
    && ln -s libcuda.so.1 /driver/libcuda.so
FROM ${IMAGE}
COPY --from=driver /driver /driver
ENV LD_LIBRARY_PATH=/driver
"""


def docker_run(tag, *command):
    """Run this checkout's cuda_inside.py in a container that has no network; return its answer."""
    elf_tools = Path(elftools.__file__).parent
    argv = [
        "docker", "run", "--rm", "--network=none", "--read-only", "--tmpfs=/tmp:exec", "--user=1000:1000",
        f"--volume={ROOT / 'workloads'}:/bench/workloads:ro", f"--volume={cuda_inside.__file__}:/check/cuda_inside.py:ro",
        f"--volume={elf_tools}:/check/elftools:ro", "--env=PYTHONPATH=/check:/bench", tag,
        "python", "/check/cuda_inside.py", *command,
    ]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="session")
def compiler(docker_engine, tmp_path_factory):
    """An image with a C compiler, made first: what comes into the build cache later goes with an image for GPUs."""
    folder = tmp_path_factory.mktemp("compiler")
    (folder / "Dockerfile").write_text(COMPILER)
    reference = KNOWN.frameworks[REFERENCE][1]
    build_folder(folder, "rosetta-test/compiler", BASE_IMAGE=images.base_reference(reference))
    yield
    client.remove_image("rosetta-test/compiler")


@pytest.fixture(scope="module", params=[pytest.param(name, marks=checks.mark(checks.cuda(name))) for name in IMAGES])
def image(request, docker_engine, compiler):
    """A catalog.Image whose cuda variant is built."""
    image = IMAGES[request.param]
    if image.name not in WANTED and not is_built(image, "cuda"):
        pytest.skip(f"rosetta/{image.name} is not built for CUDA; ROSETTA_CUDA_IMAGES={image.name} builds it")
    try:
        with borrowed(image, "cuda"):
            yield image
    except DiskError as error:  # no more a fault of the image than a machine without Docker
        pytest.skip(error.message)
    except OrchestratorError as error:  # such as a file that cannot be downloaded
        pytest.fail(f"{error.message}\n{error.hint}", pytrace=False)


@pytest.fixture(scope="module")
def without_driver(image, tmp_path_factory):
    """The tag of the image plus a driver whose every function says that there is no GPU.

    Some libraries cannot be loaded without a driver, which only hosts with a GPU have."""
    tag = images.tag(image, "cuda")
    folder = tmp_path_factory.mktemp("driver")
    functions = docker_run(tag, "driver")
    assert all(re.fullmatch(r"\w+", name) for name in functions)
    (folder / "Dockerfile").write_text(DRIVER)
    (folder / "driver.c").write_text(
        "".join(
            f'const char *{name}(int error) {{ return "no driver"; }}\n'
            if name == "nvmlErrorString"
            else f"int {name}(void) {{ return 100; }}\n"  # CUDA_ERROR_NO_DEVICE
            for name in functions
        )
    )
    result = f"rosetta-test/{image.name}:without-driver"
    build_folder(folder, result, IMAGE=tag)
    yield result
    client.remove_image(result)


@pytest.fixture(scope="module")
def report(image, without_driver):
    return docker_run(without_driver, image.name)


@pytest.fixture(scope="session")
def measure(docker_engine, tmp_path_factory):
    """As in test_cells.py, but none of its results: those come from the images for CPUs."""
    return measurement(docker_engine, tmp_path_factory.mktemp("results"))


def test_the_images_that_are_asked_for_exist():
    assert IMAGES.keys() >= WANTED, f"ROSETTA_CUDA_IMAGES takes names from {sorted(IMAGES)}, or all"


def test_only_the_driver_is_missing(image, report):
    assert report["unresolved"].keys() == OPTIONAL[image.name]


def test_it_imports_and_is_what_its_labels_say(image, report):
    assert report["version"] == image.frameworks[0].version
    # Libraries of one major version stand in for one another.
    cuda = report["cuda"] or f"{report['cudnn']['cuda'] / 1000}"
    assert cuda.partition(".")[0] == image.labels["rosetta.cuda"].partition(".")[0]


def test_every_part_of_cudnn_loads(image, report):
    assert (report["cudnn"] is None) == (image.name in CUDNN_INSIDE)
    if report["cudnn"]:
        assert set(report["cudnn"]["parts"].values()) <= {0}


def test_the_gpus_it_has_code_for(image, report):
    assert image.labels["rosetta.cuda.capability"].split() == report["code"]["native"]
    lowest = image.labels.get("rosetta.cuda.ptx")
    if image.name in USELESS_PTX:
        assert lowest is None
    else:
        assert lowest in report["code"]["ptx"] if lowest else "ptx" not in report["code"]


def test_no_framework_goes_on_without_the_gpu_it_was_promised(image, without_driver, tmp_path):
    """Where the driver has none. TensorFlow and JAX would compute on the CPU, and say nothing, if they were let."""
    write_inputs("cnn", tmp_path)
    for framework in image.frameworks:
        if "cnn" in framework.workloads:
            done = start_on_gpu(without_driver, framework, tmp_path)
            *_, last = map(json.loads, done.stdout.splitlines())
            text = f"{last.get('type')}: {last.get('message')}"
            assert (done.returncode != 0, last["event"]) == (True, "error"), done.stderr[-4000:]
            assert re.search("gpu|cuda|cupy", text, re.IGNORECASE), text


def start_on_gpu(tag, framework, inputs):
    """Start the framework's smallest training for a GPU, as the docker engine would."""
    settings = json.loads((inputs / "settings.json").read_text())
    spec = {
        "protocol": 2, "framework": framework.id, "workload": "cnn", "device": "gpu", "ranks": 1, "precision": "fp32", "seed": 1,
        "trace": 1, "learning_curve": False, "settings": settings,
    }  # fmt: skip
    (inputs / "spec.json").write_text(json.dumps(spec))
    variables = {
        "BENCH_SPEC": "/inputs/spec.json", "BENCH_INPUTS": "/inputs", "PYTHONPATH": "/bench",
        "NVIDIA_TF32_OVERRIDE": "0", **framework.env,
    }  # fmt: skip
    argv = [
        "docker", "run", "--rm", "--init", "--network=none", "--read-only", "--tmpfs=/tmp:exec", "--user=1000:1000",
        f"--volume={ROOT / 'workloads'}:/bench/workloads:ro", f"--volume={inputs}:/inputs:ro",
        *(f"--env={name}={value}" for name, value in variables.items()), tag,
        "python", "-m", f"workloads.{framework.module}.cnn",
    ]  # fmt: skip
    return subprocess.run(argv, capture_output=True, text=True, timeout=180, check=False)


def test_it_computes_the_same_cnn_on_a_cpu(image, without_driver, docker_engine, measure, monkeypatch):
    prepare = docker_engine.prepare

    def prepared(wanted, variant):
        if wanted.name == image.name:
            return Environment(handle=without_driver, facts={})
        return prepare(wanted, variant)

    monkeypatch.setattr(docker_engine, "prepare", prepared)
    for framework in image.frameworks:
        if "cnn" in framework.workloads:
            assert_agreement(measure, framework.id, "cnn")
