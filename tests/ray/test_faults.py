"""What becomes of a run when something happens to its cluster."""

import os
import platform
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

ray = pytest.importorskip("ray")

from ray._private import utils as ray_utils

from orchestrator.engines import hosts, registry
from orchestrator.engines.registration import Setup
from orchestrator.errors import HostError
from orchestrator.plan import spec
from orchestrator.record.run_folder import RunFolder
from orchestrator.run.crew import Pauses
from tests.support import clusters, engine_cases
from tests.support.clusters import OnReady

PYTHONS = {"echo": Path(sys.executable)}


@pytest.fixture
def few(alone, cache):
    """Two nodes that a test may lose."""
    with clusters.cluster(("alpha", "beta")) as made:
        yield made


@pytest.fixture
def joined(few):
    """The engine on these."""
    engine = clusters.connect(few, engine_cases.ECHO, choice="process", pythons=PYTHONS)
    yield engine
    engine.close()


def test_the_job_of_a_lost_node_is_tried_elsewhere_from_its_start(few, joined, tmp_path, caplog):
    since = time.time()
    lost = []

    def lose(node):
        lost.append(node)
        few.remove_node(few.named[node], allow_graceful=False)

    folder, (result,) = engine_cases.run_echo(joined, tmp_path, "slow", retries=1, listener=OnReady(lose))
    assert (result.status, result.attempt) == ("ok", 2), result.failure
    assert {result.provenance.node.name, *lost} == {"alpha", "beta"}
    assert any("was lost" in line and "trying elsewhere (1 left)" in line for line in caplog.messages), caplog.messages
    first = (folder.path / f"{result.job.id}.attempt-1.jsonl").read_bytes()
    second = (folder.path / f"{result.job.id}.jsonl").read_bytes()
    assert (first.count(b"\n"), second.count(b"\n")) == (2, 5)
    with engine_cases.at_most(10):
        while engine_cases.echoes(since):
            time.sleep(0.05)

    _, (failed, never) = engine_cases.run_echo(joined, tmp_path, "slow", "good", listener=OnReady(lose))
    assert (failed.status, failed.failure.kind) == ("failed", "node")
    assert "was lost" in failed.failure.message
    assert "--retries" in failed.failure.hint
    assert never.failure.message == "no node is left in the cluster that can run it"


def test_a_node_that_joins_gets_its_share(few, joined, tmp_path, caplog):
    begun, found = threading.Event(), []
    heard = OnReady(lambda _: begun.set())

    def run():
        wanted = {"names": ("alpha", "gamma"), "pauses": Pauses(look=0.5)}
        found.extend(engine_cases.run_echo(joined, tmp_path, "slow", repeats=8, listener=heard, **wanted)[1])

    running = threading.Thread(target=run)
    running.start()
    begun.wait(60)
    clusters.add(few, "gamma")  # Ray does that in the main thread only
    running.join()
    assert [result.status for result in found] == ["ok"] * 8
    assert {result.provenance.node.name for result in found} == {"alpha", "gamma"}
    assert [line for line in caplog.messages if line.startswith("node gamma has joined")]


def test_a_head_that_is_gone_ends_the_run_with_what_to_do_and_one_that_is_back_is_joined(alone, cache, tmp_path):
    """In a process of its own: Ray ends those that have lost their head."""
    source = (
        "import sys, pathlib\n"
        "from orchestrator.engines.ray import connection\n"
        "from orchestrator.errors import OrchestratorError\n"
        "from tests.support import engine_cases as cases\n"
        "from orchestrator.run.crew import Pauses\n"
        "connection.HEAD_SECONDS = 2.0\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "engine = cases.engine_called('ray', folder, sys.argv[2], 'process')\n"
        "try:\n"
        "    quick = Pauses(look=0.5)\n"
        "    cases.run_echo(engine, folder, 'slow', repeats=4, listener=cases.Talkative(), pauses=quick)\n"
        "except OrchestratorError as error:\n"
        "    print(error.message, error.hint, sep='\\n')\n"
    )
    with clusters.cluster(("alpha",)) as made:
        argv = [sys.executable, "-c", source, str(tmp_path), made.address]
        with subprocess.Popen(
            argv, cwd=engine_cases.ECHO.parent.parent, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as orchestrator:
            assert [orchestrator.stdout.readline() for _ in range(2)] == ["start\n", "ready\n"]
            made.head_node.kill_all_processes(check_alive=False, allow_graceful=False)
            printed = orchestrator.stdout.read()
    assert "head at" in printed
    assert "has not answered for 2 s" in printed
    assert "--resume" in printed
    folder = RunFolder(next((tmp_path / "results").iterdir()))
    with clusters.cluster(("alpha",)) as made:
        engine = clusters.connect(made, engine_cases.ECHO, choice="process", pythons=PYTHONS)
        _, missing = engine_cases.run_echo(engine, tmp_path, "slow", repeats=4, resume=folder)
        engine.close()
    assert missing
    found = [folder.read_result(f"slow-resnet50-cpu-{number}") for number in (1, 2, 3, 4)]
    assert [result.status for result in found] == ["ok"] * 4


def test_a_node_without_docker_runs_jobs_as_processes_or_is_left_out(alone, cache, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with clusters.cluster(("alpha",)) as made:
        engine = clusters.connect(made, engine_cases.ECHO, choice="auto")
        (node,) = hosts.select(engine.nodes(), spec.Hosts())
        assert node.engine == "process"
        engine.close()
        engine = clusters.connect(made, engine_cases.ECHO, choice="docker")
        with pytest.raises(HostError, match="no node of the cluster can run jobs"):
            hosts.select(engine.nodes(), spec.Hosts())
        engine.close()
    message, left_out = caplog.messages
    assert message.startswith("node alpha: no Docker daemon answers")
    assert message.endswith("; using the process engine")
    assert left_out.startswith("node alpha is left out: ")
    assert "Docker" in left_out


def test_a_node_that_does_not_answer_does_not_delay_the_run(few, tmp_path, caplog):
    joined = clusters.connect(few, engine_cases.ECHO, choice="process", pythons=PYTHONS, survey_seconds=4.0)
    (raylet,) = few.named["beta"].all_processes["raylet"]
    raylet.process.send_signal(signal.SIGSTOP)
    try:
        _, results = engine_cases.run_echo(joined, tmp_path, "good", repeats=3)
    finally:
        raylet.process.send_signal(signal.SIGCONT)
        joined.close()
    assert caplog.messages == ["node beta has not answered for 4 s: the run starts without"]
    assert [(result.status, result.provenance.node.name) for result in results] == [("ok", "alpha")] * 3


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two jobs side by side want two CPUs")
def test_a_node_that_is_not_exclusive_runs_jobs_side_by_side_on_cpus_of_their_own(alone, cache, tmp_path):
    at_once, most = set(), []

    class Counting(engine_cases.Silent):
        def job_started(self, job, number, total, epoch_samples):
            at_once.add(number)
            most.append(len(at_once))

        def job_finished(self, result):
            at_once.clear()

    with clusters.cluster(("alpha",), cpus=2) as made:
        engine = clusters.connect(made, engine_cases.ECHO, choice="process", pythons=PYTHONS)
        _, results = engine_cases.run_echo(
            engine, tmp_path, "slow", repeats=2, exclusive=False, cpus=1, listener=Counting()
        )
        engine.close()
    assert [result.status for result in results] == ["ok"] * 2
    assert max(most) == 2
    first, second = (result.provenance.host.cpus_used for result in results)
    assert len(first) == len(second) == 1
    assert first != second
    assert not any(result.provenance.node.exclusive for result in results)


OTHERS = {"Ray": ("2.0.0", platform.python_version()), "Python": (ray.__version__, "3.8.1")}
JOIN = """
import sys
import ray._private.utils
from ray.scripts.scripts import main

versions = tuple(sys.argv[1:3])
ray._private.utils.compute_version_info = lambda: versions
del sys.argv[1:3]
main()
"""


def test_another_version_of_ray_or_python_is_named(alone, cache, monkeypatch):
    """An orchestrator's by us, a node's by Ray itself, which does not let it join."""
    with clusters.cluster(()) as made:
        for what, versions in OTHERS.items():
            other = versions[what == "Python"]
            with monkeypatch.context() as patch:
                patch.setattr(ray_utils, "compute_version_info", lambda versions=versions: versions)
                with pytest.raises(HostError, match="another version of Ray or Python") as caught:
                    clusters.connect(made, engine_cases.ECHO)
            assert other in caught.value.message
            assert "same Ray and the same Python" in caught.value.hint
            start = ["start", f"--address={made.address}", "--num-cpus=1", "--node-ip-address=127.0.0.1"]
            argv = [sys.executable, "-c", JOIN, *versions, *start]
            refused = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
            assert refused.returncode != 0
            assert "Version mismatch" in refused.stderr + refused.stdout
            assert other in refused.stderr + refused.stdout


def test_an_address_where_nothing_is(alone, cache):
    with pytest.raises(HostError, match=r"no Ray cluster answers at 127\.0\.0\.1:9"):
        registry.connect("ray", Setup(root=engine_cases.ECHO, cache=cache, address="127.0.0.1:9"))


def test_a_client_address_is_refused_with_what_to_do_instead(alone, cache):
    with pytest.raises(HostError, match="streams") as caught:
        registry.connect("ray", Setup(root=engine_cases.ECHO, cache=cache, address="ray://127.0.0.1:10001"))
    assert "on a machine of the cluster" in caught.value.hint
