"""What a crew does with the nodes of an engine, whatever engine that is."""

import _thread
import contextlib
import dataclasses
import threading
import time

import pytest

from orchestrator.engines.base import EngineError
from orchestrator.errors import HostError
from orchestrator.plan.jobs import plan
from orchestrator.plan.spec import Spec
from orchestrator.record.results import Failure, Provenance, Result
from orchestrator.run import crew, preparation
from tests.support import engine_cases
from tests.support.machines import node

LOST = Failure(kind="node", message="lost", hint="")


@pytest.fixture(params=[False, True], ids=["threads", "this thread"])
def local(request):
    """Whether the engine has one node, which is this machine."""
    return request.param


def jobs(count, retries=0):
    run_spec = Spec(name="t", frameworks=("good",), workloads=("resnet50",), repeats=count, retries=retries)
    return plan(run_spec, engine_cases.behaving(("good",)), "cpu")


class Taken:
    """A node that was taken."""

    spent = False

    def __init__(self, node):
        self.node = node
        self.closed = threading.Event()

    def close(self):
        self.closed.set()


class Fake:
    """A cluster whose nodes do what `does` says: a function of the node's name and the job, or an error of taking."""

    name = "toy"

    def __init__(self, *names, does=lambda taken, job: None, take=None, local=False):
        self.local = local
        self.there = [dataclasses.replace(node(name), local=local) for name in names]
        self.taken = []
        self.does = does
        self._take = take
        self.ran = []  # (node, job) in the order in which they began
        self.prepared = None  # the jobs whose environments were asked for before the first job

    def crew(self, listener=None, **pauses):
        return crew.Crew(
            self,
            nodes=self.nodes,
            placed=lambda job, node: job if job.host in {None, node.name} else LOST,
            runner=lambda taken, lane, halt: FakeRunner(self, taken, lane, halt),
            unrun=result,
            listener=listener or engine_cases.Silent(),
            pauses=crew.Pauses(tick=0.01, look=0.02, **pauses),
        )

    def nodes(self):
        return list(self.there)

    def take(self, node, wanted):
        if self._take is not None:
            self._take(node, wanted)
        self.taken.append(Taken(node))
        return self.taken[-1]


class FakeRunner:
    """Stands in for runner.Runner."""

    def __init__(self, cluster, taken, lane, halt):
        self._cluster = cluster
        self._taken = taken
        self._lane = taken.lane = lane
        self._halt = halt

    def prepare(self, jobs):
        self._cluster.prepared = [job.id for job in jobs]

    def run_job(self, job, number, total, retries):
        self._cluster.ran.append((self._taken.node.name, job.id))
        self._lane.job_started(job, number, total, None)
        why = self._cluster.does(self._taken, job)
        self._halt.check()
        return result(job, why), retries


def result(job, why):
    provenance = Provenance(engine="toy", environment={}, code={}, host={})
    return Result(
        job=job,
        attempt=1,
        status="failed" if why else "ok",
        failure=why,
        start=None,
        figures={},
        provenance=provenance,
        began="2026-01-01T00:00:00+00:00",
        seconds=0.0,
        exit_code=None,
        telemetry=None,
        neighbours=(),
    )


def kinds(results):
    return [each.failure.kind if each.failure else each.status for each in results]


def test_results_come_in_the_order_of_the_jobs():
    cluster = Fake("a", "b", "c", does=lambda taken, job: time.sleep(0.001 * (7 * job.repeat % 5)))
    many = jobs(60)
    found = cluster.crew().run(many)
    assert [each.job.id for each in found] == [job.id for job in many]
    assert {name for name, _ in cluster.ran} == {"a", "b", "c"}
    assert all(taken.closed.is_set() for taken in cluster.taken)


def test_a_job_whose_node_was_lost_is_tried_again(caplog):
    lost = [1]
    cluster = Fake("a", does=lambda taken, job: LOST if lost and lost.pop() else None)
    assert kinds(cluster.crew().run(jobs(2, retries=1))) == ["ok", "ok"]
    assert any("trying elsewhere (1 left)" in line for line in caplog.messages), caplog.messages


def test_a_node_on_which_our_part_died_once_is_taken_again():
    """The first job is lost, and no other."""
    lost = [1]
    cluster = Fake("a", does=lambda taken, job: LOST if lost and lost.pop() else None)
    assert kinds(cluster.crew().run(jobs(3))) == ["node", "ok", "ok"]
    assert len(cluster.taken) == 2
    assert cluster.taken[0].closed.is_set()


def test_a_node_that_was_lost_twice_gets_no_further_job(caplog):
    cluster = Fake("a", does=lambda taken, job: LOST)
    found = cluster.crew().run(jobs(4))
    assert [each.failure.message for each in found] == ["lost"] * 2 + [
        "no node is left in the cluster that can run it"
    ] * 2
    assert len(cluster.ran) == 2
    assert "a was lost 2 times: the run goes on without it" in caplog.messages


def test_a_node_whose_job_would_not_end_is_taken_anew_for_the_next():
    def once(taken, job):
        taken.spent = len(cluster.taken) == 1

    cluster = Fake("a", does=once)
    assert kinds(cluster.crew().run(jobs(3))) == ["ok"] * 3
    assert len(cluster.taken) == 2
    assert cluster.taken[0].closed.is_set()


def test_a_node_that_cannot_be_taken_is_left_out_with_the_reason(caplog):
    def take(node, wanted):
        if node.name == "a":
            raise EngineError("it is gone", hint="look there", kind="node")

    cluster = Fake("a", "b", take=take)
    assert kinds(cluster.crew().run(jobs(4))) == ["ok"] * 4
    assert "the run goes on without a: it is gone (look there)" in caplog.messages


def test_the_jobs_of_a_host_that_is_gone_are_given_up():
    here, there = (job.model_copy(update={"host": name}) for name, job in zip("ab", jobs(2), strict=True))
    assert kinds(Fake("a").crew().run([here, there])) == ["ok", "node"]


def test_a_node_that_joins_gets_a_share(caplog):
    def joins(taken, job):
        if len(cluster.there) == 1:
            cluster.there.append(node("b"))
        time.sleep(0.05)

    cluster = Fake("a", does=joins)
    cluster.crew().run(jobs(8))
    assert {name for name, _ in cluster.ran} == {"a", "b"}
    assert any(line.startswith("node b has joined") for line in caplog.messages)


def test_on_this_machine_all_environments_are_made_before_the_first_job(local):
    cluster = Fake("a", local=local)
    many = jobs(3)
    cluster.crew().run(many, {many[1].id: LOST})
    assert cluster.prepared == ([many[0].id, many[2].id] if local else None)


def test_on_this_machine_jobs_run_in_the_thread_that_ctrl_c_interrupts(local):
    threads = set()
    cluster = Fake("a", does=lambda taken, job: threads.add(threading.current_thread()), local=local)
    cluster.crew().run(jobs(2))
    assert (threads == {threading.main_thread()}) == local


@pytest.mark.parametrize("where", ["take", "job"])
def test_an_error_of_a_node_ends_the_run(where, local):
    """Such as a full disk; not only one that a job meets."""

    def fail(*_):
        raise OSError("no space left")

    cluster = Fake("a", **{"take": fail} if where == "take" else {"does": fail}, local=local)
    with pytest.raises(OSError, match="no space left"):
        cluster.crew().run(jobs(4))
    assert all(taken.closed.is_set() for taken in cluster.taken)


def test_without_a_cluster_the_run_ends_with_what_to_do():
    waits = threading.Event()
    cluster = Fake("a", does=lambda taken, job: taken.closed.wait(10))

    def gone():
        if cluster.ran:
            waits.set()
            raise HostError("no head", hint="start it")
        return [node("a")]

    cluster.nodes = gone
    with pytest.raises(HostError, match="no head"):
        cluster.crew().run(jobs(2))
    assert waits.is_set()
    assert cluster.taken[0].closed.is_set()


def interrupted(cluster):
    """Run two jobs of which the first presses Ctrl-C; returns the seconds until the run has ended."""
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        cluster.crew().run(jobs(2))
    return time.monotonic() - began


def test_ctrl_c_while_a_job_waits_for_a_turn_on_its_node_ends_it_at_once():
    """It was started, but has sent no event, so nothing is lost."""

    def waits(taken, job):
        _thread.interrupt_main()
        taken.closed.wait(10)

    cluster = Fake("a", does=waits)
    assert interrupted(cluster) < 5
    assert len(cluster.ran) == 1


def test_ctrl_c_leaves_a_job_that_is_measured_time_to_end():
    closed = []

    def measured(taken, job):
        taken.lane.job_event(job, None)
        _thread.interrupt_main()
        time.sleep(0.3)
        closed.append(taken.closed.is_set())

    interrupted(Fake("a", does=measured))
    assert closed == [False]


def test_threads_that_hang_share_one_deadline():
    free = threading.Event()

    def stuck(taken, job):
        if taken.node.name == "a":
            time.sleep(0.1)
            raise OSError("no space left")
        free.wait(10)

    cluster = Fake("a", "b", "c", "d", does=stuck)
    began = time.monotonic()
    with contextlib.suppress(OSError):
        cluster.crew(parting=0.3).run(jobs(8))
    assert time.monotonic() - began < 0.8
    free.set()


@pytest.mark.parametrize("failing", [False, True])
def test_an_engine_is_left_when_the_run_ends(failing, root, tmp_path, monkeypatch):
    closed = []
    cluster = Fake("a")
    cluster.close = lambda: closed.append(1)
    run_spec = Spec(name="t", frameworks=("good",), workloads=("resnet50",))
    prepared = preparation.PreparedRun(
        catalog=engine_cases.behaving(("good",)), spec=run_spec, host=None, engine=cluster, jobs=jobs(1), skips={}
    )
    request = preparation.Request(root=root, results=tmp_path, cache=tmp_path)

    class Jobs:
        def run(self, *_):
            assert not closed
            if failing:
                raise KeyboardInterrupt
            return []

    monkeypatch.setattr(preparation, "crew_for", lambda *_: Jobs())
    with pytest.raises(KeyboardInterrupt) if failing else contextlib.nullcontext():
        preparation.run(request, None, prepared, engine_cases.Silent())
    assert closed == [1]
