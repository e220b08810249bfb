"""workloads/common/cuda.py: what the driver says of a GPU, and what Chainer makes of it before CuPy is imported."""

import os

import pytest

from tests.support.fake_cuda import Driver
from workloads.chainer import libraries
from workloads.common import cuda, mkl, openblas

UUID = "11111111-2222-3333-4444-555555555555"


def test_the_driver_tells_what_the_gpu_is(play):
    play(Driver(UUID, capability=(8, 6)))
    assert cuda.capability() == (8, 6)
    assert cuda.name() == "GPU 0"


@pytest.mark.parametrize("library", [None, Driver()])
def test_without_a_driver_or_a_gpu_there_is_none(play, library):
    play(library)
    assert cuda.capability() == (0, 0)
    assert cuda.name() is None


@pytest.mark.parametrize(
    ("capability", "expected"),
    [((), None), ((7, 0), None), ((8, 6), None), ((8, 9), None), ((9, 0), "1"), ((12, 0), "1")],
)
def test_cupy_leaves_ptx_for_newer_gpus_only(play, monkeypatch, capability, expected):
    """Its PTX needs a driver as new as its compiler, its machine code does not."""
    for name in ("CUPY_COMPILE_WITH_PTX", openblas.VARIABLE, mkl.VARIABLE):
        monkeypatch.setenv(name, "")  # so that it is as it was after the test
        monkeypatch.delenv(name)
    play(Driver(UUID, capability=capability) if capability else Driver())
    libraries.load()
    assert os.environ.get("CUPY_COMPILE_WITH_PTX") == expected
