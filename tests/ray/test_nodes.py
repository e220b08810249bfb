"""Nodes that are not alike: each with a cache, labels and resources of its own."""

import dataclasses
import sys
import time
from pathlib import Path

import pytest

ray = pytest.importorskip("ray")

from tests.support import clusters, engine_cases
from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def caches(tmp_path_factory):
    """A cache for each node."""
    return {name: tmp_path_factory.mktemp(f"cache-of-{name}") for name in ("alpha", "beta")}


@pytest.fixture(scope="module")
def joined(alone, cache, caches):
    """The engine on two nodes; Ray believes that one of them has two GPUs."""
    with clusters.cluster(()) as made:
        for name, gpus, rack in (("alpha", 2, "a1"), ("beta", 0, "b2")):
            variables = {"ROSETTA_CACHE": str(caches[name])}
            clusters.add(made, name, num_gpus=gpus, labels={"rack": rack}, env_vars=variables)
        made.wait_for_nodes()
        engine = clusters.connect(made, engine_cases.ECHO, choice="process", pythons={"echo": Path(sys.executable)})
        yield engine
        engine.close()


def test_each_node_makes_its_inputs_in_its_own_cache_and_runs_what_was_shipped(joined, caches, tmp_path):
    folder, results = engine_cases.run_echo(joined, tmp_path, "where", each_host=True)
    assert [result.status for result in results] == ["ok"] * 2, results
    for result in results:
        lines = (folder.path / f"{result.job.id}.log").read_text().splitlines()
        lines_of_nodes = [line.partition(": ")[::2] for line in lines]
        (code,) = (path for what, path in lines_of_nodes if what == "code")
        inputs = [path for what, path in lines_of_nodes if what == "input"]
        assert not code.startswith(str(ROOT)), code
        assert inputs
        assert all(path.startswith(str(caches[result.provenance.node.name])) for path in inputs), inputs


def test_labels_choose_nodes(joined, tmp_path):
    _, results = engine_cases.run_echo(joined, tmp_path, "good", repeats=2, labels={"rack": "b2"})
    assert [result.provenance.node.name for result in results] == ["beta"] * 2


def free(what):
    return ray.available_resources().get(what, 0)


def settled(what, amount):
    """Wait until so much is free: Ray reports it with some delay."""
    deadline = time.monotonic() + 20
    while abs(free(what) - amount) > 1:
        assert time.monotonic() < deadline, (free(what), amount)
        time.sleep(0.1)


def test_a_node_is_taken_with_all_it_has(joined):
    alpha = next(node for node in joined.nodes() if node.name == "alpha")
    whole = ray.cluster_resources()
    settled("memory", whole["memory"])  # what an earlier test took is free again
    (has,) = (node["Resources"] for node in ray.nodes() if node["NodeID"] == alpha.id)
    assert (whole["GPU"], has["GPU"]) == (2, 2)
    taken = joined.take(alpha, lambda: True)
    try:
        settled("memory", whole["memory"] - has["memory"])
        assert (free("CPU"), free("GPU")) == (whole["CPU"] - 1, 0)
    finally:
        taken.close()
    settled("memory", whole["memory"])


def test_a_part_of_a_node_is_taken_with_what_its_job_may_use(joined):
    alpha = next(node for node in joined.nodes() if node.name == "alpha")
    whole = ray.cluster_resources()["memory"]
    settled("memory", whole)
    part = dataclasses.replace(alpha, share=0, memory=1 << 28, host=dataclasses.replace(alpha.host, cpus=(0,)))
    taken = joined.take(part, lambda: True)
    try:
        settled("memory", whole - (1 << 28))
        assert free("GPU") == 2
    finally:
        taken.close()
    settled("memory", whole)
