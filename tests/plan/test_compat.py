"""What runs on which GPU is known from labels and driver, with the reason and the way out."""

import dataclasses
import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.host import cuda
from orchestrator.plan import catalog, compat
from orchestrator.plan.compat import Engines, Problem
from tests.support.machines import CARDS, image, machine

CNTK_2_7 = ("10.0", "3.0 3.5 5.0 6.0 7.0 7.5")
REAL = catalog.load(Path(__file__).resolve().parents[2])
MXNET_1_9 = ("11.2", "5.0 6.0 7.0 7.5 8.0 8.6")
TENSORFLOW = ("12.5", "6.0 7.0 8.0 8.9 9.0", "9.0")
TORCH_CU13 = ("13.0", "7.5 8.0 8.6 9.0 10.0 12.0")


@pytest.mark.parametrize(
    ("build", "card", "driver", "kind", "reason"),
    [
        (CNTK_2_7, "K80", "470.256.02", "native", "CUDA 10.0"),
        (CNTK_2_7, "T4", "410.48", "native", "CUDA 10.0"),
        (CNTK_2_7, "T4", "390.157", "impossible", "CUDA 10.0 needs driver 410.48, this is 390.157"),
        (CNTK_2_7, "H100", "580.95.05", "impossible", "no code for 9.0 GPUs"),
        ((*CNTK_2_7, "7.5"), "H100", "580.95.05", "jit", "only PTX for 9.0 GPUs"),
        (MXNET_1_9, "K80", "470.256.02", "impossible", "no code for 3.7 GPUs"),
        (MXNET_1_9, "P100", "450.80.02", "native", "CUDA 11.2"),
        (MXNET_1_9, "A100", "550.54.15", "native", "CUDA 11.2"),
        (MXNET_1_9, "A100", "450.51.06", "impossible", "CUDA 11.2 needs driver 450.80.02, this is 450.51.06"),
        (MXNET_1_9, "H100", "550.54.15", "impossible", "no code for 9.0 GPUs"),
        ((*MXNET_1_9, "8.6"), "H100", "550.54.15", "jit", "only PTX for 9.0 GPUs"),
        ((*MXNET_1_9, "8.6"), "A10", "450.80.02", "native", "CUDA 11.2"),
        # Machine code gets by with the family's oldest driver; PTX needs that of its own toolkit.
        (("11.2", "8.0", "8.0"), "H100", "450.80.02", "impossible", "CUDA 11.2's PTX needs driver 460.27.03"),
        (("11.2", "8.0", "8.0"), "H100", "460.27.03", "jit", "only PTX"),
        (TENSORFLOW, "V100", "525.60.13", "native", "CUDA 12.5"),
        (TENSORFLOW, "H100", "525.60.13", "native", "CUDA 12.5"),
        (TENSORFLOW, "B200", "550.54.15", "impossible", "CUDA 12.5's PTX needs driver 555.42.02"),
        (TENSORFLOW, "B200", "570.86.10", "jit", "only PTX for 10.0 GPUs"),
        (TENSORFLOW, "RTX 5090", "570.86.10", "jit", "only PTX for 12.0 GPUs"),
        (TENSORFLOW, "K80", "470.256.02", "impossible", "no code for 3.7 GPUs"),
        (TORCH_CU13, "K80", "470.256.02", "impossible", "no code for 3.7 GPUs"),
        (TORCH_CU13, "V100", "580.95.05", "impossible", "no code for 7.0 GPUs"),
        (TORCH_CU13, "T4", "580.65.06", "native", "CUDA 13.0"),
        (TORCH_CU13, "H100", "550.54.15", "impossible", "CUDA 13.0 needs driver 580.65.06, this is 550.54.15"),
        (TORCH_CU13, "RTX 5090", "580.95.05", "native", "CUDA 13.0"),
    ],
)  # fmt: skip
def test_known_builds_on_known_gpus(build, card, driver, kind, reason):
    verdict = compat.verdict(image(*build), machine(card, driver=driver))
    assert (verdict.kind, reason in verdict.reason) == (kind, True), verdict


@pytest.mark.parametrize(
    ("framework", "card", "driver", "kind", "reason"),
    [
        ("cntk", "K80", "470.256.02", "native", "CUDA 10.0"),
        ("cntk", "T4", "535.104.05", "native", "CUDA 10.0"),
        ("cntk", "A100", "550.54.15", "impossible", "CUDA 10.0 build: no code for 8.0 GPUs"),
        ("cntk", "H100", "580.95.05", "impossible", "CUDA 10.0 build: no code for 9.0 GPUs"),
        ("keras-cntk", "H100", "580.95.05", "impossible", "CUDA 10.0 build: no code for 9.0 GPUs"),
        ("caffe2", "K80", "470.256.02", "native", "CUDA 10.2"),
        ("caffe2", "A100", "550.54.15", "impossible", "no code for 8.0 GPUs"),
        ("mxnet", "A100", "550.54.15", "native", "CUDA 11.2"),
        ("gluon", "A10", "450.80.02", "native", "CUDA 11.2"),
        ("mxnet", "H100", "580.95.05", "impossible", "no code for 9.0 GPUs"),
        ("chainer", "V100", "450.80.02", "native", "CUDA 11.8"),  # machine code; its PTX would need driver 520
        ("chainer", "A100", "515.43.04", "native", "CUDA 11.8"),
        ("chainer", "H100", "515.43.04", "impossible", "CUDA 11.8's PTX needs driver 520.61.05"),
        ("chainer", "H100", "535.104.05", "jit", "only PTX for 9.0 GPUs"),
        ("pytorch", "K80", "470.256.02", "impossible", "no code for 3.7 GPUs"),
        ("pytorch", "H100", "580.95.05", "native", "CUDA 13.0"),
        ("tensorflow", "H100", "525.60.13", "native", "CUDA 12.5"),
        ("jax", "V100", "580.95.05", "impossible", "no code for 7.0 GPUs"),
        ("knet", "A100", "550.54.15", "native", "CUDA 11.6"),
        ("lasagne", "V100", "550.54.15", "cpu_only", "no build for GPUs"),
    ],
)
def test_the_frameworks_here_on_known_gpus(framework, card, driver, kind, reason):
    """Their labels as they are, not as a test would have them."""
    verdict = compat.verdict(REAL.frameworks[framework][1], machine(card, driver=driver))
    assert (verdict.kind, reason in verdict.reason) == (kind, True), verdict


def test_a_divided_gpu_is_of_no_use_until_it_is_whole():
    divided = machine("A100")
    divided = dataclasses.replace(divided, gpus=(dataclasses.replace(divided.gpus[0], mig=True),))
    verdict = compat.verdict(REAL.frameworks["mxnet"][1], divided)
    assert (verdict.kind, verdict.remedy) == ("impossible", "turn MIG off (`nvidia-smi -i 0 -mig 0`)")


def test_code_for_a_later_gpu_of_the_same_generation_does_not_run_on_an_earlier_one():
    assert compat.verdict(image("11.2", "8.6"), machine("A100")).kind == "impossible"
    assert compat.verdict(image("11.2", "8.6", "8.6"), machine("A100")).kind == "impossible"


def test_without_a_gpu_or_a_build_for_one_there_is_the_cpu():
    for verdict in (
        compat.verdict(image(*MXNET_1_9), machine()),
        compat.verdict(image(), machine("H100")),
    ):
        assert (verdict.kind, verdict.remedy) == ("cpu_only", "use --device cpu")


@pytest.mark.parametrize(
    ("build", "card", "driver", "remedy"),
    [
        (MXNET_1_9, "A100", "440.33", "install driver 450.80.02 or newer"),
        (("11.2", "6.0"), "P100", "440.33", "install driver 450.80.02 or newer, up to 580, the last for this GPU"),
        (("12.5", "3.7"), "K80", "470.256.02", "use --device cpu: driver 470 is the last for this GPU"),
        (("11.2", "7.0"), "V100", "590.48.01", "install driver 580, the last for this GPU"),
    ],
)
def test_no_remedy_is_a_driver_that_does_not_know_the_gpu(build, card, driver, remedy):
    verdict = compat.verdict(image(*build), machine(card, driver=driver))
    assert (verdict.kind, verdict.remedy) == ("impossible", remedy)


def test_of_several_gpus_the_chosen_one_decides():
    both = machine("K80", "A100", driver="470.256.02")
    assert compat.verdict(image(*MXNET_1_9), both).kind == "impossible"
    assert compat.verdict(image(*MXNET_1_9), both, both.gpus[1]).kind == "native"


capabilities = st.sampled_from(["3.0", "3.5", "3.7", "5.0", "6.0", "6.1", "7.0", "7.5", "8.0", "8.6", "9.0", "12.0"])
drivers = st.tuples(st.integers(300, 700), st.integers(0, 300), st.integers(0, 99)).map(
    lambda parts: ".".join(map(str, parts))
)


@given(
    toolkit=st.sampled_from(sorted(cuda.TOOLKIT_DRIVERS)),
    codes=st.sets(capabilities, min_size=1),
    ptx=st.none() | capabilities,
    card=st.sampled_from(sorted(CARDS)),
    old=drivers,
    new=drivers,
)
def test_a_newer_driver_never_takes_anything_away_but_a_retired_gpu(toolkit, codes, ptx, card, old, new):
    if cuda.older(new, old):
        old, new = new, old
    build = image(cuda.written(toolkit), " ".join(codes), ptx)
    before, after = (compat.verdict(build, machine(card, driver=driver)) for driver in (old, new))
    retired = cuda.generation(cuda.version(CARDS[card][1]))
    dropped = retired is not None and cuda.branch(new) > retired.branch
    if not dropped and before.runs:
        assert after == before
    for verdict in (before, after):
        assert verdict.reason
        assert bool(verdict.remedy) == (verdict.kind != "native")


@given(st.text(max_size=30))
def test_whatever_a_driver_calls_itself_it_is_compared(text):
    assert compat.verdict(image(*MXNET_1_9), machine("A100", driver=text)).kind in {"native", "impossible"}


def test_every_family_runs_on_the_driver_of_its_first_release_or_a_later_one():
    for major, driver in cuda.FAMILY_DRIVERS.items():
        assert not cuda.older(driver, cuda.TOOLKIT_DRIVERS[(major, 0)])
        assert all(toolkit[0] in cuda.FAMILY_DRIVERS for toolkit in cuda.TOOLKIT_DRIVERS if toolkit[0] >= 11)


def test_newer_toolkits_come_with_newer_drivers():
    known = [cuda.TOOLKIT_DRIVERS[toolkit] for toolkit in sorted(cuda.TOOLKIT_DRIVERS)]
    assert all(cuda.older(one, other) for one, other in itertools.pairwise(known))


NONE = Problem(reason="none", remedy="start it")


@pytest.mark.parametrize(
    ("python", "docker", "docker_gpu", "pythons", "on_cpu", "on_gpu"),
    [
        ("3.11", None, None, {"3.11"}, ("docker", "process"), ("docker", "process")),
        ("3.11", None, NONE, {"3.11"}, ("docker", "process"), ("process",)),
        ("3.11", NONE, None, {"3.11"}, ("process",), ("process",)),
        ("3.11", NONE, None, {"3.9"}, (), ()),
        ("3.11", None, NONE, set(), ("docker",), ()),
        (None, None, None, {"3.11"}, ("docker",), ("docker",)),
        (None, NONE, None, {"3.11"}, (), ()),
    ],
)
def test_who_can_run_an_image(python, docker, docker_gpu, pythons, on_cpu, on_gpu):
    means = Engines(docker=docker, docker_gpu=docker_gpu, pythons=frozenset(pythons))
    demo = image(python=python)
    assert compat.engines(demo, means) == on_cpu
    assert compat.engines(demo, means, gpu=True) == on_gpu
    if not on_gpu:
        obstacle = compat.obstacle(demo, means)
        assert obstacle.remedy
        assert ("no Docker" in obstacle.reason) == (docker is not None)
