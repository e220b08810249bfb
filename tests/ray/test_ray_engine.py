"""The ray engine, on real nodes."""

import dataclasses
import logging
import subprocess
import time

import pytest

ray = pytest.importorskip("ray")

from orchestrator.engines.ray.taken import RayNode
from orchestrator.errors import HostError
from orchestrator.inputs import job_inputs
from orchestrator.report import published, tables
from tests.support import clusters, engine_cases
from tests.support.paths import ROOT


@pytest.mark.parametrize("check", [value for name, value in vars(engine_cases).items() if name.startswith("check_")])
def test_the_contract_of_engines(check, cluster, tmp_path):
    check(cluster, tmp_path)


class Witness(engine_cases.Silent):
    """Remembers when each node began and ended a job, and when events came."""

    def __init__(self, log=None, node=""):
        super().__init__()
        self.log = [] if log is None else log
        self.node = node

    def lane(self, node):
        return Witness(self.log, node)

    def job_started(self, job, number, total, epoch_samples):
        self.log.append((time.monotonic(), self.node, "began"))

    def job_event(self, job, event):
        self.log.append((time.monotonic(), self.node, event.event))

    def job_finished(self, result):
        self.log.append((time.monotonic(), result.provenance.node.name, "ended"))


def test_nodes_work_side_by_side_and_each_on_one_job_at_a_time(cluster, tmp_path):
    witness = Witness()
    _, results = engine_cases.run_echo(cluster, tmp_path, "slow", "good", repeats=4, listener=witness)
    assert [result.status for result in results] == ["ok"] * 8, results
    assert {result.provenance.node.name for result in results} == set(clusters.NODES)
    for node in clusters.NODES:
        events = [what for _, where, what in witness.log if where == node and what in {"began", "ended"}]
        assert events == ["began", "ended"] * (len(events) // 2)
    busy, most = set(), 0
    for _, node, what in witness.log:
        (busy.discard if what == "ended" else busy.add)(node)
        most = max(most, len(busy))
    assert most == len(clusters.NODES)


def test_events_come_while_the_job_goes_on(cluster, tmp_path):
    """This one sleeps three seconds after "ready"."""
    witness = Witness()
    engine_cases.run_echo(cluster, tmp_path, "slow", listener=witness)
    at = {what: when for when, _, what in witness.log}
    assert at["cold"] - at["ready"] > 1.5


def test_each_host_is_measured_and_tables_have_a_column_for_it(cluster, tmp_path):
    _, results = engine_cases.run_echo(cluster, tmp_path, "good", each_host=True)
    assert [(result.job.host, result.provenance.node.name) for result in results] == [(n, n) for n in clusters.NODES]
    assert len({result.job.id for result in results}) == len(clusters.NODES)
    (table,) = tables.tables(results, published.load(ROOT / "results" / "reference" / "2017.json"))
    assert {cell for row in table.rows for cell in row} >= {f"on {node}" for node in clusters.NODES}, table
    (beside,) = tables.host_by_host(results)
    assert [column.title for column in beside.columns] == ["DL Library", *(f"Images/s on {n}" for n in clusters.NODES)]
    assert beside.rows == (("good", 12.0, 12.0, 12.0),)


def test_results_say_where_they_come_from(cluster, tmp_path):
    _, (result,) = engine_cases.run_echo(cluster, tmp_path, "good", names=("be*",))
    found = result.provenance
    assert (found.node.name, found.node.engine) == ("beta", "process")
    assert found.host.cpu
    assert found.host.ray
    assert found.environment
    assert found.data.inputs["weights.npz"]


def test_jobs_run_at_full_priority(cluster, tmp_path):
    """Ray starts its workers at a niceness of 15, and these nodes have no other setting."""
    folder, (result,) = engine_cases.run_echo(cluster, tmp_path, "nice")
    assert (folder.path / f"{result.job.id}.log").read_text() == "niceness: 0\n"


def test_no_node_that_is_wanted_is_reported_with_those_there_are(cluster, tmp_path):
    with pytest.raises(HostError, match=r"hosts.*alpha.*beta.*gamma"):
        engine_cases.run_echo(cluster, tmp_path, "good", names=("delta",))


def test_inputs_must_be_those_of_the_orchestrator(cluster, tmp_path, monkeypatch):
    """The node makes its own, from the same seed; here the orchestrator's are of another."""
    good = job_inputs.Store.for_job

    def other(self, job):
        made = good(self, job)
        facts = made.facts.model_copy(update={"inputs": {**made.facts.inputs, "weights.npz": "0" * 64}})
        return dataclasses.replace(made, facts=facts)

    monkeypatch.setattr(job_inputs.Store, "for_job", other)
    _, (result,) = engine_cases.run_echo(cluster, tmp_path, "good")
    assert result.failure.kind == "data"
    assert "by sha256: weights.npz" in result.failure.message


class Unsure:
    """Our part on a node, which never confirms that a job has ended."""

    def __init__(self, worker):
        self._worker = worker
        self.end = self

    def remote(self, number, seconds):
        return ray.put(False)

    def __getattr__(self, name):
        return getattr(self._worker, name)


class UnsureNode(RayNode):
    """A node that was taken, with that part."""

    def __init__(self, taken):
        super().__init__(taken.node, Unsure(taken.worker))
        self._taken = taken

    def close(self):
        self._taken.close()


def test_a_job_whose_end_is_not_confirmed_costs_the_next_one_nothing(cluster, tmp_path):
    """What may still run there must not disturb it: our part on the node is killed, and the next job gets a new one."""
    taken = []

    def unsure(node):
        taken.append(UnsureNode(node))
        return taken[-1]

    seen = clusters.Changed(cluster, unsure)
    _, results = engine_cases.run_echo(seen, tmp_path, "good", repeats=3, names=("alpha",))
    assert [result.status for result in results] == ["ok"] * 3, results
    assert len(taken) == 3


def test_an_interrupted_run_is_resumed(cluster, tmp_path):
    folder, (first,) = engine_cases.run_echo(cluster, tmp_path, "good")
    (folder.path / f"{first.job.id}.json").unlink()
    _, (second,) = engine_cases.run_echo(cluster, tmp_path, "good", resume=folder)
    assert second.status == "ok"
    _, none = engine_cases.run_echo(cluster, tmp_path, "good", resume=folder)
    assert none == []


@pytest.mark.parametrize("choice", ["process", "docker"])
def test_a_node_has_one_orchestrator_and_is_free_when_that_is_killed(choice, cluster, nodes, request, tmp_path):
    if choice == "docker":
        request.getfixturevalue("docker_engine")
    with engine_cases.hanging(cluster, tmp_path, nodes.address, choice) as orchestrator:
        waiting = Waiting(orchestrator.kill)
        logging.getLogger("orchestrator").addHandler(waiting)
        try:
            _, results = engine_cases.run_echo(cluster, tmp_path / "second", "good", each_host=True)
        finally:
            logging.getLogger("orchestrator").removeHandler(waiting)
    assert waiting.then is None
    assert [result.status for result in results] == ["ok"] * 3
    if choice == "docker":
        (run,) = (tmp_path / "results").iterdir()
        left = subprocess.run(["docker", "ps", "--all"], capture_output=True, text=True, check=True).stdout
        assert run.name not in left


class Waiting(logging.Handler):
    """Does something once it is logged that a node is not free."""

    def __init__(self, then):
        super().__init__()
        self.then = then

    def emit(self, record):
        if "waiting" in record.getMessage() and self.then:
            then, self.then = self.then, None
            then()
