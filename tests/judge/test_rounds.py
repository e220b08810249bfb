"""`repeats: auto` goes on while that can tell more, and says why it stops."""

import sys
from pathlib import Path

import pytest

from orchestrator.engines.one_node import OneNode
from orchestrator.engines.process.engine import ProcessEngine
from orchestrator.host import machine
from orchestrator.host.neighbours import Neighbour
from orchestrator.judge import rounds
from orchestrator.plan import jobs as plan
from orchestrator.plan import spec
from orchestrator.plan.workloads.resnet50 import ResNet50
from orchestrator.record.results import Failure
from orchestrator.record.runs import find_run
from orchestrator.run import preparation
from tests.support import engine_cases
from tests.support.results import result, trained

SPREAD = (0.0, 3.0, -3.0, 1.0, -1.0)  # of five repeats, in seconds


def measured(**frameworks):
    """Results of rounds: framework → seconds of each repeat."""
    return [
        trained(framework, seconds, repeat=repeat)
        for framework, times in frameworks.items()
        for repeat, seconds in enumerate(times, start=1)
    ]


def following(results, **settings):
    run_spec = spec.Spec(name="t", repeats="auto", workloads=("cnn",), **settings)
    return rounds.following(run_spec, [each.job for each in results], results)


def five(centre):
    return [centre + step for step in SPREAD]


def test_before_five_repeats_nothing_is_settled():
    decision = following(measured(numpy=[100.0], pytorch=[900.0]))
    assert {job.id for job in decision.jobs} == {"numpy-cnn-cpu-2", "pytorch-cnn-cpu-2"}
    assert decision.why == "round 2: cnn: undecided before 5 repeats"


def test_a_clear_ranking_ends_it():
    decision = following(measured(numpy=five(100.0), pytorch=five(150.0)))
    assert not decision.jobs
    assert decision.why == "settled after 5 rounds: cnn: the ranking is decided"


def test_rows_too_close_to_tell_go_on():
    decision = following(measured(numpy=five(100.0), pytorch=five(103.0)))
    assert len(decision.jobs) == 2
    assert "undecided, the widest interval is ± 3 %" in decision.why


def test_rows_known_well_enough_end_it_even_as_a_tie():
    decision = following(measured(numpy=[100.0, 100.1, 99.9, 100.0, 100.0], pytorch=[100.0, 100.1, 99.9, 100.1, 100.0]))
    assert decision.why == "settled after 5 rounds: cnn: every median is known to ± 2 %"


def test_a_single_row_is_measured_until_it_is_known():
    assert following(measured(numpy=five(20.0))).jobs
    assert not following(measured(numpy=five(1000.0))).jobs


def test_a_settled_table_is_not_measured_again():
    settled = measured(numpy=five(100.0), pytorch=five(150.0))
    other = [result(workload="resnet50", images_per_s=10.0)]
    run_spec = spec.Spec(name="t", repeats="auto", workloads=("cnn", "resnet50"))
    decision = rounds.following(run_spec, [each.job for each in (*settled, *other)], [*settled, *other])
    assert [job.workload for job in decision.jobs] == ["resnet50"]


def test_each_host_has_a_table_of_its_own():
    """Two hosts of different speed are two rankings, not repeats of one with a large spread."""
    quick, slow = (
        [each.model_copy(update={"job": each.job.model_copy(update={"host": name})}) for each in some]
        for name, some in (
            ("quick", measured(numpy=five(100.0), pytorch=five(150.0))),
            ("slow", measured(numpy=five(90.0), pytorch=five(93.0))),
        )
    )
    decision = following([*quick, *slow])
    assert {(job.host, job.repeat) for job in decision.jobs} == {("slow", 6)}
    assert decision.why.startswith("round 6: cnn on quick: the ranking is decided; cnn on slow: undecided")
    assert following(quick).why == "settled after 5 rounds: cnn on quick: the ranking is decided"


def test_the_budget_is_not_overrun_knowingly():
    results = measured(numpy=[100.0] * 2, pytorch=[100.0] * 2)  # each job took 10 s in all
    assert following(results, budget=60.0).jobs
    decision = following(results, budget=59.0)
    assert not decision.jobs
    assert decision.why.startswith(
        "the budget is spent: the jobs took 40 of 59 s, and another round would take about 20 s"
    )


def test_what_always_fails_is_not_asked_again():
    failed = [result("gluon", failure=Failure(kind="exception", message="m"))]
    results = [*failed, *measured(numpy=[100.0])]
    assert [job.framework for job in following(results).jobs] == ["numpy"]
    assert following(failed).why == "no job succeeded, so there is nothing to repeat"


def disturbed(results):
    """The same results, measured while another program was busy."""
    return [each.model_copy(update={"neighbours": (Neighbour(name="stress", cpus=1.0),)}) for each in results]


def test_disturbed_repeats_do_not_count_and_are_measured_again():
    quiet = measured(numpy=five(100.0), pytorch=five(150.0))
    assert not following(quiet).jobs
    results = [*quiet[:4], *disturbed(quiet[4:5]), *quiet[5:]]
    decision = following(results)
    assert {job.id for job in decision.jobs} == {"numpy-cnn-cpu-6", "pytorch-cnn-cpu-6"}
    assert decision.why == "round 6: cnn: undecided before 5 repeats; 1 disturbed job does not count"
    again = [*results, *(trained(name, seconds, repeat=6) for name, seconds in (("numpy", 100.0), ("pytorch", 150.0)))]
    assert following(again).why == (
        "settled after 6 rounds: cnn: the ranking is decided; 1 disturbed job does not count"
    )


def test_a_framework_that_was_always_disturbed_is_measured_again_within_the_budget():
    results = [*disturbed(measured(numpy=five(100.0))), *measured(pytorch=five(150.0))]
    assert {job.framework for job in following(results).jobs} == {"numpy", "pytorch"}
    assert following(results, budget=100.0).why.startswith("the budget is spent")


@pytest.fixture
def prepared(cache):
    """A run of the echo workload, which always says the same, with an open number of repeats."""
    known = engine_cases.behaving(("good", "chatty"))
    run_spec = spec.Spec(
        name="echo",
        frameworks=("good", "chatty"),
        workloads=("resnet50",),
        repeats="auto",
        dataset="synthetic",
        resnet50=ResNet50(batch=2, batches=3, seconds=0),
    )
    engine = ProcessEngine(cache=cache, pythons={"echo": Path(sys.executable)})
    jobs = plan.plan(run_spec, known, "cpu")
    return preparation.PreparedRun(
        catalog=known,
        spec=run_spec,
        host=machine.inspect(),
        engine=OneNode(engine, cache=cache),
        jobs=jobs,
        skips={},
    )


@pytest.mark.slow
def test_rounds_are_recorded_as_they_are_added_and_can_be_resumed(prepared, cache, tmp_path, caplog):
    request = preparation.Request(root=engine_cases.ECHO, results=tmp_path / "results", cache=cache)
    folder = preparation.start(request, prepared)
    stopped = _Impatient(after=5)
    with pytest.raises(KeyboardInterrupt):
        preparation.run(request, folder, prepared, stopped)
    assert len(folder.read_run().jobs) == 6  # the third round was recorded before it ran
    missing = folder.missing(folder.read_run().jobs)
    assert len(missing) == 1
    again = preparation.PreparedRun(
        catalog=prepared.catalog, spec=prepared.spec, host=prepared.host, engine=prepared.engine, jobs=missing, skips={}
    )
    preparation.run(request, folder, again, engine_cases.Silent())
    run = folder.read_run()
    assert {job.repeat for job in run.jobs} == {1, 2, 3, 4, 5}
    assert folder.missing(run.jobs) == []
    assert run.ended == "settled after 5 rounds: resnet50: every median is known to ± 2 %"
    assert f"no further round: {run.ended}" in caplog.messages
    assert find_run(tmp_path / "results", None).results()


class _Impatient(engine_cases.Silent):
    """Presses Ctrl-C when so many jobs have ended."""

    def __init__(self, after):
        super().__init__()
        self.after = after

    def job_finished(self, result):
        self.after -= 1
        if not self.after:
            raise KeyboardInterrupt
