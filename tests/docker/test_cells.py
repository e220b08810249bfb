"""Every cell of the tables in its own real container, with the smoke spec: it runs, and it computes the same thing.

Without dropout, from the same weights and the same batches, the first losses (or the features) of every framework
must be those of the NumPy reference.
"""

import numpy as np
import pytest

from tests.support.cells import CELLS, CLOSE, REFERENCE, TOLERANCE, assert_agreement, measurement, run_cell

pytestmark = pytest.mark.docker

WITH_RESNET50 = [framework for framework, workload in CELLS if workload == "resnet50" and framework != REFERENCE]
V1_5 = ("resnet50.variant=v1.5", "resnet50.batches=1")


@pytest.fixture(scope="session")
def measure(docker_engine, tmp_path_factory):
    return measurement(docker_engine, tmp_path_factory.mktemp("results"))


@pytest.mark.parametrize(("framework", "workload"), CELLS, ids=[f"{f}-{w}" for f, w in CELLS])
def test_a_cell_runs_and_agrees_with_the_reference(measure, framework, workload):
    assert_agreement(measure, framework, workload)


@pytest.mark.parametrize("framework", WITH_RESNET50)
def test_both_variants_of_resnet50_are_different_networks(measure, framework):
    """v1.5 on the reference and on the framework: equal to each other, different from v1."""
    theirs, ours, v1 = (
        np.load(output / "features-0.npy")
        for _, output in (
            measure(framework, "resnet50", *V1_5),
            measure(REFERENCE, "resnet50", *V1_5),
            measure(REFERENCE, "resnet50"),
        )
    )
    assert np.abs(ours - theirs).max() <= CLOSE.get(framework, TOLERANCE) * np.abs(ours).max()
    assert np.abs(ours - v1).max() > 0.01 * np.abs(ours).max()


@pytest.mark.parametrize("framework", ["pytorch", "keras-tf"])
@pytest.mark.parametrize("workload", ["cnn", "rnn", "resnet50"])
def test_mixed_precision_computes_nearly_the_same(measure, framework, workload):
    """On a CPU that is bfloat16 with 8 significant bits. Equal to the last bit would mean that nothing was mixed."""
    result, mixed = measure(framework, workload, "precision=amp")
    assert result.start.precision == "amp"
    expected, output = measure(framework, workload)
    if workload == "resnet50":
        found, wanted = (np.load(each / "features-0.npy") for each in (mixed, output))
    else:
        found, wanted = np.array(result.figures.losses), np.array(expected.figures.losses)
    difference = np.abs(found - wanted).max() / np.abs(wanted).max()
    assert 1e-7 < difference < (0.3 if workload == "resnet50" else 5e-2)  # the features pass through 53 roundings


def test_a_precision_that_a_framework_lacks_is_told_as_such(docker_engine, tmp_path):
    result, _ = run_cell(docker_engine, tmp_path, REFERENCE, "cnn", "precision=amp")
    assert (result.status, result.failure.kind) == ("failed", "unsupported")
    assert "not in amp" in result.failure.message
