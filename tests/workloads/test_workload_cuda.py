"""workloads/common/cuda.py: what the driver says of a GPU, and what Chainer makes of it before CuPy is imported."""

import ctypes
import os

import pytest

from workloads.chainer import libraries
from workloads.common import cuda, mkl, openblas


class Driver:
    """Plays libcuda.so.1 with one GPU of this compute capability; without one, no GPU."""

    def __init__(self, *capability):
        self._answers = dict(zip(cuda.COMPUTE_CAPABILITY, capability, strict=False))

    def cuInit(self, flags):  # noqa: N802  (CUDA's name)
        return 0 if self._answers else 100

    def cuDeviceGetAttribute(self, value, attribute, device):  # noqa: N802
        value._obj.value = self._answers[attribute]
        return 0


def no_library(name):
    raise OSError(name)


@pytest.fixture
def play(monkeypatch):
    return lambda library: monkeypatch.setattr(ctypes, "CDLL", library)


def test_the_driver_tells_what_the_gpu_is(play):
    play(lambda name: Driver(8, 6))
    assert cuda.capability() == (8, 6)


@pytest.mark.parametrize("library", [no_library, lambda name: Driver()])
def test_without_a_driver_or_a_gpu_there_is_none(play, library):
    play(library)
    assert cuda.capability() == (0, 0)


@pytest.mark.parametrize(
    ("capability", "told"), [((), None), ((7, 0), None), ((8, 6), None), ((8, 9), None), ((9, 0), "1"), ((12, 0), "1")]
)
def test_cupy_leaves_ptx_for_newer_gpus_only(play, monkeypatch, capability, told):
    """Its PTX needs a driver as new as its compiler, its machine code does not."""
    for name in ("CUPY_COMPILE_WITH_PTX", openblas.VARIABLE, mkl.VARIABLE):
        monkeypatch.setenv(name, "")  # so that it is as it was after the test
        monkeypatch.delenv(name)
    play(lambda name: Driver(*capability))
    libraries.load()
    assert os.environ.get("CUPY_COMPILE_WITH_PTX") == told
