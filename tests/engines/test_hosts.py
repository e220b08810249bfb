"""Which node of a cluster may run what."""

import dataclasses
import io
import os
import re
import sys
import time

import pytest
from rich.console import Console

from orchestrator.cli.progress import LiveListener
from orchestrator.cli.verbs import bench
from orchestrator.engines import hosts, registry
from orchestrator.engines.ray import node as ray_node
from orchestrator.engines.registration import Setup
from orchestrator.errors import HostError, UsageError
from orchestrator.plan import catalog, jobs, spec
from orchestrator.plan.jobs import Job
from orchestrator.record.results import NodeFacts, Provenance
from orchestrator.run import preparation
from tests.support import engine_cases, machines
from tests.support.machines import node


def run_spec(**values):
    return spec.Spec.model_validate({"name": "t", **values})


def job(device, nodes=(), **values):
    (first, *_) = jobs.plan(
        run_spec(workloads=["resnet50"], **values), engine_cases.behaving(("good",)), device, None, nodes
    )
    return first


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["a1", "a2", "b1"]),
        ({"names": ["a*"]}, ["a1", "a2"]),
        ({"names": ["a?", "b1"]}, ["a1", "a2", "b1"]),
        ({"gpu": "h100"}, ["a2"]),
        ({"labels": {"rack": "b"}}, ["b1"]),
        ({"names": ["a*"], "gpu": "T4"}, ["a1"]),
    ],
)
def test_a_selector_takes_the_nodes_for_which_all_of_it_holds(wanted, found):
    nodes = [node("b1", rack="b"), node("a2", "H100", rack="a"), node("a1", "T4")]
    assert [each.name for each in hosts.select(nodes, spec.Hosts(**wanted))] == found


def test_a_selector_that_takes_none_is_reported_what_there_is():
    with pytest.raises(HostError, match="a1: CPU X, 2 CPUs, 8 GiB, 1 x Tesla T4"):
        hosts.select([node("a1", "T4")], spec.Hosts(gpu="H100"))


def test_two_nodes_of_one_name_cannot_be_distinguished():
    with pytest.raises(HostError, match="'a1' is the name of several nodes"):
        hosts.names([node("a1"), node("a1")])


@pytest.mark.parametrize(("one", "other"), [("gpu.1", "gpu-1"), ("gpu1", "GPU1")])
def test_two_nodes_whose_jobs_would_have_one_id_cannot_be_distinguished(one, other):
    with pytest.raises(HostError, match=f"'{one}' and '{other}' are too alike"):
        hosts.names([node(one), node(other)])
    assert hosts.names([node("gpu-1"), node("gpu-2")]) == ["gpu-1", "gpu-2"]


@pytest.mark.parametrize(
    ("choice", "nodes", "device"),
    [
        ("auto", [node("a")], "cpu"),
        ("auto", [node("a"), node("b", "T4")], "gpu"),
        ("auto", [node("b", "T4", problem="no toolkit")], "cpu"),
        ("cpu", [node("b", "T4")], "cpu"),
        ("gpu", [node("a"), node("b", "T4")], "gpu"),
    ],
)
def test_the_device_is_the_gpu_where_a_node_has_one_to_give(choice, nodes, device):
    assert hosts.device(choice, nodes) == device


def test_a_gpu_that_no_node_can_give_is_reported_with_each_reason():
    with pytest.raises(HostError, match="--device gpu, but b: no toolkit; a has no NVIDIA GPU"):
        hosts.device("gpu", [node("a"), node("b", "T4", problem="no toolkit")])


def test_a_job_gets_the_gpu_of_the_node_it_runs_on():
    built = machines.image("12.0", "7.5 9.0")
    for card in ("T4", "H100"):
        placed = hosts.placed(job("gpu"), node("a", card), run_spec(), built)
        assert isinstance(placed, Job)
        assert placed.gpus == ("GPU-0",)


@pytest.mark.parametrize(
    ("there", "choice", "kind", "message"),
    [
        (node("a"), {}, "incompatible", "a: no NVIDIA GPU"),
        (node("a", "T4", problem="no toolkit"), {}, "incompatible", "a: no toolkit"),
        (node("a", "T4"), {"gpu": "1"}, "no_gpu", "a: "),
        (node("a", "K80"), {}, "incompatible", "a: "),
        (node("a", "T4"), {"hosts": {"names": ["b"]}}, "node", "a is not the host"),
    ],
)
def test_why_a_node_cannot_run_a_job(there, choice, kind, message):
    why = hosts.placed(job("gpu"), there, run_spec(**choice), machines.image("12.0", "7.5 9.0"))
    assert (why.kind, why.message[: len(message)]) == (kind, message)


def test_a_job_of_one_host_runs_there_only():
    mine = job("cpu", ["a", "b"])
    assert mine.host == "a"
    assert isinstance(hosts.placed(mine, node("a"), run_spec(), machines.image()), Job)
    assert hosts.placed(mine, node("b"), run_spec(), machines.image()).kind == "node"


def test_jobs_that_no_node_can_run_are_known_before():
    built = {"good": machines.image("12.0", "9.0")}
    assert not hosts.skips([job("gpu")], [node("a", "K80"), node("b", "H100")], run_spec(), built)
    assert set(hosts.skips([job("gpu")], [node("a", "K80")], run_spec(), built)) == {"good-resnet50-gpu-1"}


CNTK_2_7 = ("10.0", "3.0 3.5 5.0 6.0 7.0 7.5")
DEMO = spec.Spec(name="t", frameworks=("demo",), workloads=("cnn",), repeats=2)


def on_this_machine(*cards, **changes):
    """The jobs of a run on a machine with these cards, as it is planned there."""
    demo = machines.image(*CNTK_2_7)
    known = catalog.Catalog(root=demo.folder, images=(demo,))
    planned = jobs.plan(DEMO, known, "gpu" if cards else "cpu", machines.machine(*cards).gpus)
    return [each.model_copy(update=changes) for each in planned]


def skips_here(planned, *cards, image=None, given=()):
    """Why a machine with these cards cannot run jobs."""
    here = dataclasses.replace(node("this machine", *cards), local=True)
    return hosts.skips(planned, [here], DEMO, {"demo": image or machines.image(*CNTK_2_7)}, given)


def test_only_jobs_that_cannot_run_are_skipped():
    planned = on_this_machine("H100")
    found = skips_here([*planned, *on_this_machine()], "H100")
    assert list(found) == [each.id for each in planned]
    assert {why.kind for why in found.values()} == {"incompatible"}
    assert skips_here(on_this_machine("T4"), "T4") == {}


def test_tf32_is_skipped_on_gpus_that_have_none():
    (found,) = set(skips_here(on_this_machine("T4", precision="tf32"), "T4").values())
    assert found.message == "TF32 begins at compute capability 8.0, this GPU has 7.5"
    assert found.hint == "use --set precision=fp32"
    new = machines.image("12.0", "7.5 8.0")
    assert skips_here(on_this_machine("A100", precision="tf32"), "A100", image=new) == {}


def test_an_environment_the_user_gives_is_judged_by_the_gpu_alone():
    assert skips_here(on_this_machine("H100"), "H100", given=["demo"]) == {}
    (found,) = set(skips_here(on_this_machine("T4", precision="tf32"), "T4", given=["demo"]).values())
    assert found.message == "TF32 begins at compute capability 8.0, this GPU has 7.5"
    (divided,) = (dataclasses.replace(gpu, mig=True) for gpu in machines.machine("A100").gpus)
    there = node("this machine", "A100")
    there = dataclasses.replace(there, host=dataclasses.replace(there.host, gpus=(divided,)))
    found = hosts.placed(on_this_machine("A100")[0], there, DEMO, machines.image(*CNTK_2_7), judge=False)
    assert "MIG is on" in found.message


def test_a_gpu_that_is_lost_for_the_moment_is_named_and_skips_nothing_for_good():
    (found,) = set(skips_here(on_this_machine("H100")).values())
    assert (found.kind, found.message) == ("no_gpu", "this machine has no GPU GPU-0")


def test_a_node_that_is_not_exclusive_has_parts_that_share_nothing():
    big = node("a", "H100", "H100", cpus=8)
    shared = {"hosts": {"exclusive": False}, "limits": {"cpus": 2}}
    on_cpu = hosts.places([big], run_spec(device="cpu", **shared))
    assert [part.host.cpus for part in on_cpu] == [(0, 1), (2, 3), (4, 5), (6, 7)]
    on_gpu = hosts.places([big], run_spec(**shared))
    assert [(part.host.cpus, [gpu.uuid for gpu in part.host.gpus]) for part in on_gpu] == [
        ((0, 1), ["GPU-0"]),
        ((2, 3), ["GPU-1"]),
    ]
    assert len({part.place for part in on_cpu}) == 4
    built = machines.image("12.0", "9.0")
    assert hosts.placed(job("gpu"), on_gpu[1], run_spec(**shared), built).gpus == ("GPU-1",)
    assert hosts.places([big], run_spec()) == [big]
    with pytest.raises(UsageError, match="how many CPUs"):
        hosts.places([big], run_spec(hosts={"exclusive": False}))


def test_memory_limits_the_parts_of_a_node():
    big = dataclasses.replace(node("a", cpus=8), host=dataclasses.replace(node("a", cpus=8).host, memory=8 << 30))
    limits = {"cpus": 2, "memory": "3 GiB"}
    parts = hosts.places([big], run_spec(device="cpu", hosts={"exclusive": False}, limits=limits))
    assert [part.memory for part in parts] == [3 << 30] * 2


def test_every_node_has_a_bar_of_its_own_until_it_is_given_back():
    screen = Console(file=io.StringIO(), force_terminal=True, width=160)

    def await_bars(*words):
        """Wait until the screen shows one bar for each word, in this order."""
        deadline = time.monotonic() + 10
        while True:
            shown = screen.file.getvalue().rpartition("\x1b[2K")[2].splitlines()  # since the last frame was erased
            if len(shown) == len(words) and all(word in line for word, line in zip(words, shown, strict=True)):
                return
            assert time.monotonic() < deadline, shown
            time.sleep(0.02)

    with LiveListener(screen) as listener:
        crew_of_two = [listener.lane("a"), listener.lane("b")]
        for lane in crew_of_two:
            lane.job_started(job("cpu"), 1, 2, None)
        await_bars("good", "good")
        crew_of_two[0].preparing("environment")
        await_bars("environment", "good")
        for lane in crew_of_two:
            lane.close()
        await_bars()


def test_hosts_without_a_cluster_are_a_mistake(root, tmp_path):
    request = preparation.Request(root=root, results=tmp_path, cache=tmp_path, given_spec=run_spec(each_host=True))
    with pytest.raises(UsageError, match="nodes of a cluster") as caught:
        preparation.prepare(request)
    assert "--engine ray" in caught.value.hint


def test_without_ray_it_is_reported_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "orchestrator.engines.ray.cluster", raising=False)
    monkeypatch.delattr("orchestrator.engines.ray.cluster", raising=False)  # as if no test had imported it
    with pytest.raises(HostError, match="needs Ray, which is not installed") as caught:
        registry.connect("ray", Setup(root=tmp_path, cache=tmp_path))
    assert "pip install -e '.[ray]'" in caught.value.hint


@pytest.mark.parametrize(("address", "expected"), [("auto", ""), ("head:6379", " --address head:6379")])
def test_how_to_resume_is_reported_with_the_cluster(address, expected):
    assert bench.resume_command("some-run", address) == f"rosetta bench --resume some-run{expected}"


@pytest.mark.parametrize(("engine", "expected"), [("process", "niceness 15"), ("docker", "")])
def test_a_node_says_when_its_jobs_go_last(engine, expected, monkeypatch):
    """Only root may undo what Ray does to its workers."""

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "setpriority", refuse)
    monkeypatch.setattr(os, "getpriority", lambda *_: 15)
    note = ray_node.note_on_priority(engine, ray_node.niceness_left())
    assert (expected in note, bool(note)) == (True, bool(expected))


def test_ray_is_imported_in_its_engine_only(root):
    """So that everybody else runs without it, and nothing of what runs on a node depends on it but Ray's own part."""
    said = re.compile(r"^\s*(?:import|from)\s+ray\b", re.MULTILINE)
    files = (root / "orchestrator").rglob("*.py")
    assert {path.name for path in files if said.search(path.read_text())} == {
        "cluster.py",
        "connection.py",
        "losses.py",
        "taken.py",
    }


def test_a_result_of_a_node_names_the_engine_that_ran_it():
    plain = Provenance(engine="docker", environment={}, code={}, host={})
    assert plain.local_engine == "docker"
    on_node = Provenance(engine="ray", environment={}, code={}, host={}, node=NodeFacts(name="a", engine="process"))
    assert on_node.local_engine == "process"
