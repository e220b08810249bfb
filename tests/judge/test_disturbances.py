"""Disturbances are found by what was measured beside a job, and nothing is claimed that is not known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.host.neighbours import Neighbour
from orchestrator.judge import disturbances
from orchestrator.record.telemetry import Telemetry
from tests.support.results import trained, with_epochs

QUIET = Telemetry(
    over="timed", seconds=100.0, samples=500, hz=5.0, timed_s=80.0, timed_samples=25600, cpus=1.9,
    orchestrator_cpus=0.01, sampling_cpus=0.005, cpus_given=2, others_cpus=0.04, steal=0.003, throttled=0.0,
    pressure=0.99, job_pressure=0.99,
)  # fmt: skip
STRESS = Neighbour(name="stress", cpus=1.2)
ON_GPU = Neighbour(name="miner", cpus=None)


def texts(neighbours=(), **changes):
    found = disturbances.of(QUIET.model_copy(update=changes), neighbours)
    return [each.text for each in found]


def repeat(seconds=100.0, number=1, **changes):
    made = trained(seconds=seconds, repeat=number)
    return made.model_copy(update={"telemetry": QUIET.model_copy(update=changes)})


def test_a_job_with_more_threads_than_cpus_is_not_blamed_on_others():
    """Its threads wait for each other all the time, and nothing else runs."""
    assert texts() == []


def test_each_reason_has_its_number():
    assert texts([STRESS], others_cpus=1.78, cpus=0.22) == [
        "other programs used 1.78 of its 2 CPUs during the timed part, the job 0.22 (over the whole job: stress 1.20)"
    ]
    assert texts(others_cpus=0.5, cpus=None, cpus_given=1, over="job") == [
        "other programs used 0.50 of its 1 CPU during the job"
    ]
    assert texts(steal=0.12) == ["other virtual machines had its CPUs for 12 % of the timed part (steal)"]
    assert texts(throttled=0.47) == ["a CPU quota stopped it for 47 % of the timed part (throttled)"]
    assert texts([ON_GPU]) == ["miner used the GPU"]


@pytest.mark.parametrize(
    ("cpus", "others", "disturbed"), [(2, 0.119, False), (2, 0.121, True), (64, 0.7, False), (64, 1.0, True)]
)
def test_more_cpus_allow_for_more_work_in_the_background(cpus, others, disturbed):
    assert bool(texts(cpus_given=cpus, others_cpus=others)) is disturbed


def test_what_is_unknown_is_no_reason():
    unknown = dict.fromkeys(("others_cpus", "steal", "throttled", "pressure", "job_pressure", "cpus_given"))
    assert texts(**unknown) == []
    assert texts(others_cpus=2.0, cpus_given=None) == []


def test_programs_count_by_themselves_only_where_nothing_better_is_known():
    assert texts([STRESS]) == []  # it ran outside the timed part
    assert texts([STRESS], others_cpus=None) == ["stress used 1.2 CPUs"]
    assert texts([STRESS], others_cpus=None, seconds=0.2) == []  # too short to tell
    assert [each.text for each in disturbances.of(None, [STRESS])] == ["stress used 1.2 CPUs"]


def test_disturbed_repeats_do_not_count_where_there_are_others():
    quiet, disturbed = repeat(), repeat(300.0, 2, others_cpus=1.0)
    assert disturbances.counted([quiet, disturbed]) == [quiet]
    assert disturbances.counted([disturbed]) == [disturbed]
    assert not disturbances.all_disturbed([quiet, disturbed])
    assert disturbances.all_disturbed([disturbed])
    assert not disturbances.all_disturbed([])


class TestEpochs:
    def test_one_that_other_programs_slowed_down_is_named(self):
        usual = [115.0, 116.0, 114.5, 115.2, 115.1, 114.9, 115.3, 115.0, 115.4]
        seconds = [*usual[:3], 283.0, *usual[3:]]
        assert disturbances.standing_out(seconds) == [(3, pytest.approx(115.2))]
        made = with_epochs(trained(seconds=sum(seconds)), losses=[1.0] * 10, accuracies=[None] * 10)
        epochs = tuple(
            epoch.model_copy(update={"seconds": each}) for epoch, each in zip(made.figures.epochs, seconds, strict=True)
        )
        known = QUIET.model_copy(update={"others_by_part": (0.0,) * 3 + (1.2,) + (0.0,) * 6})
        figures = made.figures.model_copy(update={"epochs": epochs})
        (odd,) = disturbances.odd_epochs(made.model_copy(update={"figures": figures, "telemetry": known}))
        assert odd.text == ("epoch 4 took 283.0 s, others 115.2 s (median); other programs used 1.20 CPUs meanwhile")
        (odd,) = disturbances.odd_epochs(made.model_copy(update={"figures": figures}))
        assert odd.text == "epoch 4 took 283.0 s, others 115.2 s (median)"

    @pytest.mark.parametrize(
        ("seconds", "others", "listed"),
        [
            ([115.0, 283.0, 116.0], [0.0, 1.2, 0.05], [(1, 115.5)]),  # as many as the RNN has
            ([283.0, 115.0, 115.0, 115.0, 115.0], [1.2, 0.0, 0.0, 0.0, 0.0], [(0, 115.0)]),
            ([130.0, 115.0], [0.5, None], []),  # nothing is known to be quiet
            ([120.0, 115.0], [0.5, 0.0], []),  # not much longer
            ([283.0, 283.0], [1.2, 1.2], []),
            ([], [], []),
        ],
    )
    def test_those_that_others_slowed_down_are_listed_however_few_there_are(self, seconds, others, listed):
        assert disturbances.slowed_down(seconds, others, notable=0.12) == listed

    @pytest.mark.parametrize(
        "seconds",
        [
            [],
            [1.0],
            [9.0, 1.0, 1.0, 1.0, 1.0],  # the first compiles
            [1.0, 1.0, 1.0, 9.0],  # too few to say what is usual
            [1.0, 1.0, 1.1, 0.95, 1.15],
            [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0],  # slower and slower
            [0.0, 0.0, 0.0, 0.0, 0.0],
        ],
    )
    def test_of_which_none_stands_out(self, seconds):
        assert disturbances.standing_out(seconds) == []

    @given(st.lists(st.floats(1, 1.19), min_size=5, max_size=40), st.integers(1, 39), st.floats(3, 100))
    def test_far_from_all_others_always_stand_out(self, seconds, place, factor):
        place = min(place, len(seconds) - 1)
        found = disturbances.standing_out([*seconds[:place], seconds[place] * factor, *seconds[place + 1 :]])
        assert [index for index, _ in found] == [place]
