"""What a crew does with the nodes of a cluster, whatever cluster that is."""

import contextlib
import threading
import time

import pytest

from orchestrator.engines.base import Cluster, EngineError
from orchestrator.errors import HostError
from orchestrator.plan.jobs import plan
from orchestrator.plan.spec import Spec
from orchestrator.record.results import Failure, Provenance, Result
from orchestrator.run import crew, preparation
from tests.support import engine_cases
from tests.support.machines import node

LOST = Failure(kind="node", message="lost", hint="")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(crew, "TICK", 0.01)
    monkeypatch.setattr(crew, "LOOK_SECONDS", 0.02)


def jobs(count, retries=0):
    told = Spec(name="t", frameworks=("good",), workloads=("resnet50",), repeats=count, retries=retries)
    return plan(told, engine_cases.behaving(("good",)), "cpu")


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

    name = "ray"

    def __init__(self, *names, does=lambda taken, job: None, take=None):
        self.there = [node(name) for name in names]
        self.taken = []
        self._does = does
        self._take = take
        self.ran = []  # (node, job) in the order in which they began

    def crew(self, listener=None):
        return crew.Crew(
            self,
            nodes=self.nodes,
            placed=lambda job, node: job if job.host in {None, node.name} else LOST,
            runner=lambda engine, listener, store, halt: FakeRunner(self, engine, listener, halt),
            unrun=result,
            store=None,
            listener=listener or engine_cases.Silent(),
        )

    def nodes(self):
        return list(self.there)

    def take(self, node, notify, still_wanted):
        if self._take is not None:
            self._take(node, still_wanted)
        self.taken.append(Taken(node))
        return self.taken[-1]


class FakeRunner:
    """Stands in for runner.Runner."""

    def __init__(self, cluster, engine, listener, halt):
        self._cluster = cluster
        self._engine = engine
        self._listener = listener
        self._halt = halt

    def run_one(self, job, number, total, more):
        self._cluster.ran.append((self._engine.node.name, job.id))
        self._listener.job_started(job, number, total, None)
        why = self._cluster._does(self._engine, job)
        self._halt.check()
        return result(job, why), more


def result(job, why):
    provenance = Provenance(engine="ray", environment={}, code={}, host={})
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


def test_a_job_whose_node_was_lost_is_tried_again():
    lost = [1]
    cluster = Fake("a", does=lambda taken, job: LOST if lost and lost.pop() else None)
    heard = engine_cases.Silent()
    assert kinds(cluster.crew(heard).run(jobs(2, retries=1))) == ["ok", "ok"]
    assert any("trying elsewhere (1 left)" in line for line in heard.lines), heard.lines


def test_a_node_on_which_our_part_died_once_is_taken_again():
    """The first job is lost, and no other."""
    lost = [1]
    cluster = Fake("a", does=lambda taken, job: LOST if lost and lost.pop() else None)
    assert kinds(cluster.crew().run(jobs(3))) == ["node", "ok", "ok"]
    assert len(cluster.taken) == 2
    assert cluster.taken[0].closed.is_set()


def test_a_node_that_was_lost_twice_gets_no_further_job():
    cluster = Fake("a", does=lambda taken, job: LOST)
    heard = engine_cases.Silent()
    found = cluster.crew(heard).run(jobs(4))
    assert [each.failure.message for each in found] == ["lost"] * 2 + [
        "no node is left in the cluster that can run it"
    ] * 2
    assert len(cluster.ran) == 2
    assert "a was lost 2 times: the run goes on without it" in heard.lines


def test_a_node_whose_job_would_not_end_is_taken_anew_for_the_next():
    def once(taken, job):
        taken.spent = len(cluster.taken) == 1

    cluster = Fake("a", does=once)
    assert kinds(cluster.crew().run(jobs(3))) == ["ok"] * 3
    assert len(cluster.taken) == 2
    assert cluster.taken[0].closed.is_set()


def test_a_node_that_cannot_be_taken_is_left_out_with_the_reason():
    def take(node, still_wanted):
        if node.name == "a":
            raise EngineError("it is gone", hint="look there", kind="node")

    cluster = Fake("a", "b", take=take)
    heard = engine_cases.Silent()
    assert kinds(cluster.crew(heard).run(jobs(4))) == ["ok"] * 4
    assert "the run goes on without a: it is gone (look there)" in heard.lines


def test_the_jobs_of_a_host_that_is_gone_are_given_up():
    here, there = (job.model_copy(update={"host": name}) for name, job in zip("ab", jobs(2), strict=True))
    assert kinds(Fake("a").crew().run([here, there])) == ["ok", "node"]


def test_a_node_that_joins_gets_a_share():
    def joins(taken, job):
        if len(cluster.there) == 1:
            cluster.there.append(node("b"))
        time.sleep(0.05)

    cluster = Fake("a", does=joins)
    heard = engine_cases.Silent()
    cluster.crew(heard).run(jobs(8))
    assert {name for name, _ in cluster.ran} == {"a", "b"}
    assert any(line.startswith("node b has joined") for line in heard.lines)


@pytest.mark.parametrize("where", ["take", "job"])
def test_an_error_of_a_thread_ends_the_run(where):
    """Such as a full disk; not only one that a job meets."""

    def fail(*_):
        raise OSError("no space left")

    cluster = Fake("a", "b", **{"take": fail} if where == "take" else {"does": fail})
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


def interrupted(cluster, listener=None):
    """Run two jobs, and Ctrl-C once the first has begun; returns the seconds until the run has ended."""
    running = cluster.crew(listener)
    wait = running._changed.wait
    pressed = []

    def press(timeout=None):
        if cluster.ran and not pressed:
            pressed.append(time.monotonic())
            raise KeyboardInterrupt
        return wait(timeout)

    running._changed.wait = press
    with pytest.raises(KeyboardInterrupt):
        running.run(jobs(2))
    return time.monotonic() - pressed[0]


def test_ctrl_c_while_a_job_waits_for_a_turn_on_its_node_ends_it_at_once():
    """It was started, but has said nothing yet, so nothing is lost."""
    cluster = Fake("a", does=lambda taken, job: taken.closed.wait(10) or None)
    assert interrupted(cluster) < 5
    assert len(cluster.ran) == 1


def test_ctrl_c_leaves_a_job_that_is_measured_time_to_end():
    closed = []

    def measured(taken, job):
        (hand,) = running_hands()
        hand.listener.job_event(job, None)
        time.sleep(0.3)
        closed.append(taken.closed.is_set())

    class Deaf(engine_cases.Silent):
        def job_event(self, job, event):
            pass

    cluster = Fake("a", does=measured)
    interrupted(cluster, Deaf())
    assert closed == [False]


def running_hands():
    return [thread for thread in threading.enumerate() if isinstance(thread, crew._Hand)]


def test_threads_that_hang_share_one_deadline(monkeypatch):
    monkeypatch.setattr(crew, "PARTING_SECONDS", 0.3)
    free = threading.Event()

    def stuck(taken, job):
        if taken.node.name == "a":
            time.sleep(0.1)
            raise OSError("no space left")
        free.wait(10)

    cluster = Fake("a", "b", "c", "d", does=stuck)
    began = time.monotonic()
    with contextlib.suppress(OSError):
        cluster.crew().run(jobs(8))
    assert time.monotonic() - began < 0.8
    free.set()


@pytest.mark.parametrize("failing", [False, True])
def test_a_cluster_is_left_when_the_run_ends(failing, root, tmp_path, monkeypatch):
    closed = []
    cluster = Fake("a")
    cluster.close = lambda: closed.append(1)
    cluster.facts = dict
    assert isinstance(cluster, Cluster)
    told = Spec(name="t", frameworks=("good",), workloads=("resnet50",))
    prepared = preparation.PreparedRun(
        catalog=engine_cases.behaving(("good",)), spec=told, host=None, engine=cluster, jobs=jobs(1), skips={}
    )
    request = preparation.Request(root=root, results=tmp_path, cache=tmp_path)

    class Jobs:
        def run(self, *_):
            assert not closed
            if failing:
                raise KeyboardInterrupt
            return []

    monkeypatch.setattr(preparation, "runner", lambda *_: Jobs())
    with pytest.raises(KeyboardInterrupt) if failing else contextlib.nullcontext():
        preparation.run(request, None, prepared, engine_cases.Silent(), print)
    assert closed == [1]
