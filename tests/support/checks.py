"""The expensive checks of this project, and what the result of each depends on.

Each function returns a mark for pytest. Inputs are folders where that is enough: a check that runs too often costs
minutes, one that is left out by mistake hides an error.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.plan import catalog
from orchestrator.plan.catalog import Catalog, Image
from orchestrator.plan.workloads import WORKLOADS
from orchestrator.record import fingerprint
from tests.support.ledger import Check

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = "numpy"  # the framework that the others are compared with
# What takes any job from a spec to a result, and the packages it is built on.
RUN = (
    "orchestrator/*.py", "orchestrator/host", "orchestrator/plan", "orchestrator/record", "orchestrator/inputs",
    "orchestrator/engines/*.py", "orchestrator/run", "requirements.txt",
)  # fmt: skip
DOCKER = (*RUN, "orchestrator/engines/docker")
# These run again after any change of what takes a job to its result. Other frameworks get the same inputs, containers
# and judgement, and their cells run again only after a change of those.
SENTINELS = (REFERENCE, "pytorch", "cntk")  # cntk: another Python, and the oldest libraries
JOB = (
    "orchestrator/plan/workload.py", "orchestrator/plan/workloads", "orchestrator/plan/initialisers.py",
    "orchestrator/inputs/array_format.py", "orchestrator/inputs/text_format.py", "orchestrator/inputs/datasets",
    "orchestrator/inputs/draws.py", "orchestrator/inputs/job_inputs.py", "orchestrator/inputs/orders.py",
    "orchestrator/inputs/weights.py", "orchestrator/engines/docker/container.py", "orchestrator/engines/docker/engine.py",
    "orchestrator/engines/docker/images.py", "orchestrator/record/artifacts.py", "orchestrator/record/events.py",
    "orchestrator/record/figures.py", "orchestrator/run/conversation.py", "orchestrator/run/host_clock.py",
)  # fmt: skip
# These compile for one to two minutes each time. Verification runs them anyway.
SLOW_TO_COMPILE = [(framework, workload) for framework in ("lasagne", "keras-theano") for workload in ("cnn", "rnn")]
SLOW_TO_COMPILE.append(("tinygrad", "cnn"))
# An image that is built on a local base is another than one on the public base.
PREFIX = os.environ.get("ROSETTA_BASE_PREFIX", "")
BASES = ("ci/make-bases.sh",) if PREFIX else ()
PARITY = (
    "workloads/mistakes", "orchestrator/judge/dropout.py", "orchestrator/judge/parity.py",
    "orchestrator/judge/traces.py", "orchestrator/verify/reference.py", "orchestrator/verify/verifier.py",
)  # fmt: skip
JUDGEMENT = ("workloads/mistakes", "orchestrator/judge", "orchestrator/verify", "orchestrator/engines/process")
# Of tests of frameworks in Docker.
SUPPORT = ("tests/support/cells.py", "tests/support/docker_images.py", "tests/support/small_job.py")
BUILD = ("orchestrator/engines/docker/images.py", "orchestrator/engines/docker/build_inputs.py",
         "orchestrator/engines/docker/builder.py", "orchestrator/engines/build_failure.py")  # fmt: skip


def cell(framework: str, workload: str, *, root: Path = ROOT) -> Check:
    """One framework × workload in Docker with the smoke spec, compared with the reference."""
    return Check(
        name=f"cell {framework}-{workload}",
        inputs=(*_job(framework, DOCKER), *_cells(root, framework), "configs/smoke.yaml",
                "tests/docker/test_cells.py", "tests/support/cells.py"),
        facts=(PREFIX,),
        always=(framework, workload) == (REFERENCE, "cnn"),
        rare=(framework, workload) in SLOW_TO_COMPILE,
        any_cpu=framework not in SENTINELS,  # `verify` judges what a CPU's kernels compute
    )  # fmt: skip


def verify(framework: str, workload: str, *, root: Path = ROOT) -> Check:
    """`rosetta verify` of one framework × workload in Docker."""
    return Check(
        name=f"verify {framework}-{workload}",
        inputs=(*PARITY, *_job(framework, (*DOCKER, *JUDGEMENT)), *_cells(root, framework),
                "tests/docker/test_verify.py", "tests/support/cells.py"),
        facts=(PREFIX,),
    )  # fmt: skip


def mixed(framework: str, workload: str, *, root: Path = ROOT) -> Check:
    """One framework × workload in Docker with the smoke spec, in mixed precision and in float32."""
    return replace(cell(framework, workload, root=root), name=f"amp {framework}-{workload}", always=False)


def cuda(image: str, *, root: Path = ROOT) -> Check:
    """An image for GPUs: its build, its libraries, and that its frameworks compute the right CNN on a CPU.

    Other workloads, and what all of them share, are tried in the images for CPUs.
    """
    known = next(each for each in _catalog(root).images if each.name == image)
    return Check(
        name=f"cuda {image}",
        inputs=(*BUILD, *SUPPORT, *_recipe(root, known, "cuda"),
                *_cnn(root, *(each.id for each in known.frameworks)),
                "workloads/common/cuda.py", "configs/smoke.yaml", "tests/docker/test_cuda.py",
                "tests/docker/cuda_inside.py", "tests/support/borrowed.py"),
        facts=(PREFIX,),
        any_cpu=True,  # what it tells of GPUs, it tells from files
    )  # fmt: skip


def frameworks(name: str, test: str, *used: str, inputs: tuple[str, ...] = (), root: Path = ROOT) -> Check:
    """The tests in the file `test`, which run the containers of the frameworks `used`."""
    found = tuple(part for framework in used for part in _cells(root, framework))
    return Check(name=name, inputs=(*DOCKER, *BASES, *found, *SUPPORT, *inputs, test), facts=(PREFIX,))


def engine(name: str, test: str, *inputs: str, always: bool = False) -> Check:
    """The tests of an engine in the file `test`, on the small jobs of tests/echo."""
    built_on = ("orchestrator/engines", "requirements-dev.txt", "tests/echo", "tests/support")
    return Check(name=name, inputs=(*RUN, *BASES, *built_on, *inputs, test), facts=(PREFIX,), always=always)


def cluster(test: str, *, root: Path = ROOT) -> Check:
    """The tests in one file of tests/ray."""
    name = Path(test).stem.removeprefix("test_")
    inputs = ["tests/ray/conftest.py", "tests/support/clusters.py", "tests/benchmarks/clusters.py"]
    if name == "smoke":  # cells of these frameworks, as tables
        inputs += [*_cells(root, "pytorch"), "orchestrator/report", "orchestrator/judge", "configs/smoke.yaml"]
    return engine(f"ray {name}", test, *inputs, always=name == "local")


def mark(check: Check) -> pytest.MarkDecorator:
    """Make a test part of a check; the tests of a check are all in one file."""
    return pytest.mark.check(check)


@functools.cache
def _catalog(root: Path) -> Catalog:
    return catalog.load(root)


@functools.cache
def _parts(root: Path) -> Mapping[str, Mapping[str, str]]:
    """The parts of each module below workloads/, as provenance has them."""
    return fingerprint.inspect(root).modules


def _job(framework: str, everything: tuple[str, ...]) -> tuple[str, ...]:
    return everything if framework in SENTINELS else JOB


def _cells(root: Path, framework: str) -> tuple[str, ...]:
    """The code and the images of a framework and of the reference."""
    found = [_catalog(root).frameworks[name][1] for name in (framework, REFERENCE)]
    return _code(root, framework, REFERENCE) + tuple(each for image in found for each in _recipe(root, image, "cpu"))


def _code(root: Path, *names: str) -> tuple[str, ...]:
    modules = {_catalog(root).frameworks[name][0].module for name in names}
    return tuple(f"workloads/{part}" for module in modules for part in _parts(root)[module])


def _cnn(root: Path, *names: str) -> tuple[str, ...]:
    """The files of `_code` but those of other workloads, and those that all frameworks share."""
    folders = [root / part for part in _code(root, *names) if part != "workloads/common"]
    found = [
        path for folder in folders for path in folder.glob("[!_]*.*") if path.stem not in WORKLOADS.keys() - {"cnn"}
    ]
    return tuple(path.relative_to(root).as_posix() for path in found)


def _recipe(root: Path, image: Image, variant: str) -> tuple[str, ...]:
    """The files in an image's folder, but for locks of its other variant and what locks are made from."""
    others = set(image.locks.values()) - {image.locks[variant]}
    paths = [
        path for path in image.folder.glob("[!.]*") if path.is_file() and path.suffix != ".in" and path not in others
    ]
    return (*BASES, *(path.relative_to(root).as_posix() for path in sorted(paths)))
