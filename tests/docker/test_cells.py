"""Every cell of the tables in its own real container, with the smoke spec: it runs, and it computes the same thing.

Without dropout, from the same weights and the same batches, the first losses (or the features) of every framework
must be those of the NumPy reference. ResNet-50 is v1.5 here: test_verify.py compares v1, more strictly.
"""

import numpy as np
import pytest

from tests.support import checks
from tests.support.cells import CELLS, assert_agreement, features, measurement, run_cell
from tests.support.checks import REFERENCE

pytestmark = pytest.mark.docker

SMOKE = ("configs/smoke.yaml",)
MIXED = ("pytorch", "keras-tf", "keras-torch", "keras-jax")  # all their workloads have mixed precision
VARIANT = {"resnet50": ("resnet50.variant=v1.5",)}


def cell(framework, workload):
    """Arguments of a test of one cell, which is a check of its own."""
    mark = checks.mark(checks.cell(framework, workload))
    return pytest.param(framework, workload, id=f"{framework}-{workload}", marks=mark)


def mixed(framework, workload):
    """The same of a test of one cell in mixed precision."""
    mark = checks.mark(checks.mixed(framework, workload))
    return pytest.param(framework, workload, id=f"{framework}-{workload}", marks=mark)


@pytest.fixture(scope="session")
def measure(docker_engine, tmp_path_factory):
    return measurement(docker_engine, tmp_path_factory.mktemp("results"))


@pytest.mark.parametrize(("framework", "workload"), [cell(*each) for each in CELLS])
def test_a_cell_runs_and_agrees_with_the_reference(measure, framework, workload):
    assert_agreement(measure, framework, workload, *VARIANT.get(workload, ()))


@checks.mark(checks.frameworks("variants of resnet50", "tests/docker/test_cells.py", REFERENCE, inputs=SMOKE))
def test_both_variants_of_resnet50_are_different_networks(measure):
    v1, v1_5 = (features(measure(REFERENCE, "resnet50", *variant)[1]) for variant in ((), VARIANT["resnet50"]))
    assert np.abs(v1_5 - v1).max() > 0.01 * np.abs(v1_5).max()


@pytest.mark.parametrize(
    ("framework", "workload"),
    [mixed(*each) for each in CELLS if each[0] in MIXED or each == ("jax", "gpt")],
)
def test_mixed_precision_computes_nearly_the_same(measure, framework, workload):
    """On a CPU that is bfloat16 with 8 significant bits. Equal to the last bit would mean that nothing was mixed."""
    variant = VARIANT.get(workload, ())
    result, mixed = measure(framework, workload, *variant, "precision=amp")
    assert result.start.precision == "amp"
    expected, output = measure(framework, workload, *variant)
    if workload == "resnet50":
        found, wanted = features(mixed), features(output)
    else:
        found, wanted = np.array(result.figures.losses), np.array(expected.figures.losses)
    difference = np.abs(found - wanted).max() / np.abs(wanted).max()
    assert 1e-7 < difference < (0.3 if workload == "resnet50" else 5e-2)  # the features pass through 53 roundings


def test_a_precision_that_a_framework_lacks_is_reported_as_such(docker_engine, tmp_path):
    result, _ = run_cell(docker_engine, tmp_path, REFERENCE, "cnn", "precision=amp")
    assert (result.status, result.failure.kind) == ("failed", "unsupported")
    assert "not in amp" in result.failure.message
