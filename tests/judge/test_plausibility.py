"""A rate is held against what the machine can do at most, as far as that is known."""

import math

import pytest

from orchestrator.host.peak import Peak
from orchestrator.judge import plausibility
from tests.support.results import failed, result, trained

PEAK = Peak(host=None, cpu="CPU X", cpus=2, flops=4e11, bandwidth=2e10, measured="2026-11-30", numpy="2.4.6")


def test_an_inference_is_one_forward_pass_that_reads_the_weights_once_a_batch():
    measured = result("numpy", "resnet50", images_per_s=20.0)
    found = plausibility.of_result(measured, PEAK)
    assert found.flops == 20 * 8.2e9
    weights = measured.job.declaration.weights_for(measured.job.settings).values()
    size = 4 * sum(math.prod(each.shape) for each in weights)
    assert found.bandwidth == pytest.approx(20 / measured.job.settings["batch"] * size)
    assert found.of_peak == pytest.approx(20 * 8.2e9 / 4e11)
    assert not found.impossible


def test_a_training_step_has_three_passes_and_writes_the_weights():
    measured = trained("numpy", 100.0)
    found = plausibility.of_result(measured, PEAK)
    assert found.flops == pytest.approx(256 * 1.3e8 * 3)
    assert found.bandwidth == pytest.approx(256 / measured.job.settings["batch"] * 3_441_592 * 4 * 2)


def test_more_than_the_peak_is_impossible():
    assert plausibility.of_result(result("numpy", "resnet50", images_per_s=49.0), PEAK).of_peak > 1
    assert plausibility.of_result(result("numpy", "resnet50", images_per_s=49.0), PEAK).impossible
    assert not plausibility.of_result(result("numpy", "resnet50", images_per_s=48.0), PEAK).impossible


@pytest.mark.parametrize("where", [{"cpu": "CPU Y"}, {"device": "gpu"}])
def test_a_job_of_another_machine_or_of_a_gpu_has_no_share(where):
    found = plausibility.of_result(result("numpy", "resnet50", images_per_s=1e9, **where), PEAK)
    assert (found.of_peak, found.impossible) == (None, False)


def test_without_a_peak_or_in_mixed_precision_there_is_no_share():
    measured = result("numpy", "resnet50", images_per_s=1e9)
    assert plausibility.of_result(measured, None).of_peak is None
    mixed = measured.model_copy(update={"job": measured.job.model_copy(update={"precision": "amp"})})
    assert plausibility.of_result(mixed, PEAK).of_peak is None


def test_a_job_without_a_rate_has_none():
    assert plausibility.of_result(failed("numpy"), PEAK) is None
