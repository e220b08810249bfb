"""What a job says about time is believed only as far as the host's own clock allows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.host.samples import Sample
from orchestrator.plan.workloads import WORKLOADS
from orchestrator.record.events import Artifact, Cold, Epoch, Inference, Ready, Score, Violation
from orchestrator.run.host_clock import HostClock
from tests.support.results import result

RESNET = result(workload="resnet50").job
TRAINING = result().job


def ready(t=0.5, **seconds):
    parts = {"load_s": 0.1, "build_s": 0.1, "compile_s": 0.1, **seconds}
    return Ready(event="ready", seq=1, t=t, **parts)


def passed(kind, t, seconds, batches=None, samples=256):
    type_ = {"cold": Cold, "inference": Inference}[kind]
    return type_(event=kind, seq=2, t=t, samples=samples, seconds=seconds, batch_seconds=batches or [seconds])


def epoch(t, seconds, samples=12_800):
    return Epoch(event="epoch", seq=2, t=t, epoch=1, samples=samples, seconds=seconds, loss=1.0)


def heard(job, *arrivals, samples=()):
    """Let the clock of `job` hear (event, when it arrived), and check what it heard."""
    clock = HostClock(job)
    for event, at in arrivals:
        clock.add(event, at)
    clock.check(samples, cpus=2)


def test_honest_times_pass():
    heard(RESNET, (ready(), 1.0), (passed("cold", 11.0, 10.0), 11.6), (passed("inference", 20.0, 8.9), 20.7))
    heard(TRAINING, (ready(), 1.0), (epoch(41.0, 39.0), 41.5))


@pytest.mark.parametrize(
    ("arrivals", "both"),
    [
        ([(ready(), 1.0), (passed("cold", 1.5, 1e9), 1.6)], "reports 1,000,000,000 s for the cold pass.*within 0.60 s"),
        ([(ready(), 1.0), (passed("cold", 2, 1), 2.1), (passed("inference", 12, 60), 12.0)], "60 s .* 9.90 s"),
        (
            [(ready(), 1.0), (passed("cold", 2, 1), 2.1), (passed("inference", 62, 6), 62.0)],
            "only 6 s .* 59.90 s apart",
        ),
        ([(ready(load_s=100.0), 2.0)], "100.2 s for getting ready.*within 2.00 s"),
        ([(ready(t=1e9), 1.0)], "'t' of 'ready' is 1,000,000,000 s, but the job began 1.00 s before"),
        ([(ready(t=5.0), 5.1), (passed("cold", 0.0, 0.1), 5.2)], "'t' runs backwards, from 5 s to 0 s"),
        ([(ready(), 1.0), (passed("cold", 1.1, 1e-9), 1.1)], "would be .* operations a second; no machine reaches"),
        ([(ready(), 1.0), (passed("cold", 1.5, 0.5, [1e9]), 1.6)], "batches took 1,000,000,000 s together.*only 0.5 s"),
    ],
)
def test_a_claim_that_the_clock_contradicts_is_a_violation_with_both_numbers(arrivals, both):
    with pytest.raises(Violation, match=both):
        heard(RESNET, *arrivals)


def test_an_impossible_rate_depends_on_the_size_of_the_model():
    """2e7 operations a character with the default settings; a model with fewer could be as fast."""

    def claim(**sizes):
        settings = {**WORKLOADS["gpt"].settings().model_dump(), **sizes}
        job = result(workload="gpt").job.model_copy(update={"settings": settings})
        heard(job, (ready(), 1.0), (epoch(2.0, 1e-4, samples=1_000_000_000), 2.0))

    with pytest.raises(Violation, match=r"1,000,000,000 characters in 0\.0001 s would be .* operations a second"):
        claim()
    claim(layers=1, width=1, context=1)


def test_a_training_that_claims_less_than_it_took_is_no_result():
    with pytest.raises(Violation, match=r"only 10 s for epoch 1, but its events arrived 99\.00 s apart"):
        heard(TRAINING, (ready(), 1.0), (epoch(100.0, 10.0), 100.0))


def test_small_parts_that_many_epochs_leave_out_add_up():
    """Each epoch took 8 s and claims 6.5: one alone could have been held up for so long, ten could not."""
    arrivals = [(epoch(8.0 * number, 6.5), 1 + 8.0 * number) for number in range(1, 11)]
    heard(TRAINING, (ready(), 1.0), *arrivals[:1])
    with pytest.raises(Violation, match=r"only 65 s for all epochs, but its events arrived 80\.00 s apart"):
        heard(TRAINING, (ready(), 1.0), *arrivals)


def test_an_artifact_in_the_middle_of_a_pass_ends_no_work():
    kept = Artifact(event="artifact", seq=2, t=10.9, name="features-0.npy", dtype="float32", shape=[0], sha256="0" * 64)
    heard(RESNET, (ready(), 1.0), (kept, 10.9), (passed("cold", 11.0, 10.0), 11.0))


def test_work_needs_cpu_seconds():
    """200,000 images/s of nothing: the times are right, but the job slept."""
    arrivals = [(ready(), 1.0)]
    for kind, t in (("cold", 2.0), ("inference", 3.0)):
        arrivals.append((passed(kind, t, 0.99, samples=200_000), t + 0.1))
    with pytest.raises(Violation, match=r"work of 3\.3e\+15 operations, but used at most 0\.28 CPU seconds"):
        heard(RESNET, *arrivals, samples=[Sample(t=0.2, cpu_seconds=0.03), Sample(t=3.0, cpu_seconds=0.08)])
    heard(RESNET, *arrivals, samples=[Sample(t=0.2, cpu_seconds=0.03), Sample(t=3.1, cpu_seconds=9.0)])
    heard(RESNET, *arrivals, samples=[Sample(t=0.2), Sample(t=3.1)])  # not measured


def test_scoring_is_not_part_of_an_epoch():
    score = Score(event="score", seq=3, t=60.0, samples=10_000, correct=1, seconds=18.0)
    second = epoch(100.0, 39.0).model_copy(update={"epoch": 2})
    heard(TRAINING, (ready(), 1.0), (epoch(41.0, 39.0), 41.5), (score, 60.1), (second, 100.2))


def test_a_job_is_not_blamed_for_a_stop_of_this_program():
    """The events of a minute arrive together after it, and the sampler stood still as well."""
    arrivals = [(ready(), 61.0), (passed("cold", 30.0, 29.0), 61.0), (passed("inference", 60.0, 29.0), 61.0)]
    with pytest.raises(Violation, match="29 s for the cold pass"):
        heard(RESNET, *arrivals, samples=[Sample(t=0.2 * number) for number in range(305)])
    heard(RESNET, *arrivals, samples=[Sample(t=0.2), Sample(t=0.4), Sample(t=60.8), Sample(t=61.0)])


@given(st.lists(st.floats(0.01, 50.0), min_size=2, max_size=5), st.floats(0.0, 0.9), st.floats(0.0, 3.0))
def test_delays_below_the_slack_accuse_nobody(works, delay, start):
    """Whatever honest work took, and however late its events were within the slack."""
    t, arrivals = 0.3, [(ready(t=0.3), 0.3 + start + delay)]
    for number, seconds in enumerate(works):
        t += seconds
        event = Score(event="score", seq=2, t=t, samples=1, correct=0, seconds=seconds)
        arrivals.append((event, t + start + delay * (number % 2)))
    heard(TRAINING, *arrivals)
