"""A certificate holds for a timed job only if what was timed computes what was verified."""

import pytest

from orchestrator.judge import timed_parity
from orchestrator.record.certificates import FirstStep
from orchestrator.record.figures import TIMED_FEATURES
from tests.support.certificates import certificate
from tests.support.results import cnn, result

FEATURES = tuple(0.1 * number for number in range(TIMED_FEATURES))


def inferred(features, **changes):
    """An inference whose timed pass showed these features."""
    found = result(workload="resnet50", images_per_s=10.0)
    figures = found.figures.model_copy(update={"timed_features": features})
    return found.model_copy(update={"figures": figures, **changes})


def trained(loss, *, dropout=0.0, **settings):
    """A training whose first step had this loss."""
    found = cnn()
    rates = dict.fromkeys(found.job.declaration.dropout, dropout)
    job = found.job.model_copy(update={"settings": {**found.job.settings, **rates, **settings}})
    figures = found.figures.model_copy(update={"first_loss": loss})
    return found.model_copy(update={"job": job, "figures": figures})


def verified(subject, **changes):
    """A certificate that was made on the data of `subject`."""
    made = certificate()
    return made.model_copy(update={"data": subject.provenance.data.fingerprint, **changes})


@pytest.mark.parametrize(
    ("features", "word"),
    [
        (FEATURES, None),
        (tuple(value + 0.0009 for value in FEATURES), None),
        (tuple(value + 0.0011 for value in FEATURES), "diverges"),
        ((0.0,) * TIMED_FEATURES, "diverges"),
        ((), "stale"),
        (FEATURES[:-1], "stale"),
    ],
)
def test_the_timed_pass_computes_the_features_of_the_reference(features, word):
    subject = inferred(features)
    found = timed_parity.doubt(subject, verified(subject, features=FEATURES, features_tolerance=0.001))
    assert (found and found.word) == word


@pytest.mark.parametrize(
    ("loss", "word"), [(2.302, None), (2.302 * 1.00001, None), (2.31, "diverges"), (None, "stale")]
)
def test_the_first_timed_step_has_the_loss_of_the_reference(loss, word):
    subject = trained(loss)
    envelope = certificate().envelope.model_copy(update={"losses": (1e-4,)})
    step = FirstStep(loss=2.302, batch=64, train_samples=12_800)
    found = timed_parity.doubt(subject, verified(subject, envelope=envelope, first_step=step))
    assert (found and found.word) == word


@pytest.mark.parametrize(
    "changes", [{"dropout": 0.5}, {"batch": 32}, {"train_samples": 6_400}, {"train_samples": None}]
)
def test_another_first_step_is_not_compared(changes):
    subject = trained(9.9, **changes)
    step = FirstStep(loss=2.302, batch=64, train_samples=12_800)
    assert timed_parity.doubt(subject, verified(subject, first_step=step)) is None


def test_other_data_are_not_compared():
    step = FirstStep(loss=2.302, batch=64, train_samples=12_800)
    subject = trained(9.9)
    assert timed_parity.doubt(subject, verified(subject, first_step=step, data="other")) is None


def test_results_and_certificates_of_earlier_versions_are_not_doubted():
    subject = inferred(())
    early = subject.model_copy(update={"start": subject.start.model_copy(update={"protocol": 1})})
    assert timed_parity.doubt(early, verified(subject, features=FEATURES)) is None
    assert timed_parity.doubt(subject, verified(subject)) is None
