"""Nothing of a job survives the process that ran it, and no other command has to clean up: containers go too."""

import subprocess
import time

import pytest

pytest.importorskip("ray")

from tests.support import clusters, engine_cases

SECONDS = 15  # the watchdog removes twice, three seconds apart


@pytest.fixture(scope="module")
def nodes(alone, cache):
    """Nodes of which a test may lose one."""
    with clusters.cluster(("alpha", "beta")) as made:
        yield made


@pytest.fixture(scope="module")
def joined(nodes):
    """The engine on it, with docker underneath."""
    engine = clusters.connect(nodes, engine_cases.ECHO, choice="docker")
    yield engine
    engine.close()


def containers(folder):
    """The containers of the only run in `folder`."""
    (run,) = (folder / "results").iterdir()
    argv = ["docker", "ps", "--all", "--quiet", "--filter", f"label=rosetta.run={run.name}"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()


def gone(folder, since):
    """Wait until neither a container nor a process of the job is left."""
    deadline = time.monotonic() + SECONDS
    while left := containers(folder) or engine_cases.echoes(since):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)


@pytest.mark.docker
def test_no_container_is_left_by_an_orchestrator_that_was_killed(docker_engine, nodes, joined, tmp_path):
    since = time.time()
    with engine_cases.hanging(joined, tmp_path, nodes.address, "docker") as orchestrator:
        assert containers(tmp_path)
        orchestrator.kill()
    gone(tmp_path, since)


@pytest.mark.docker
@pytest.mark.parametrize("death", ["Ray ends our part there", "our part there is killed", "the node is removed"])
def test_no_container_is_left_on_a_node(death, docker_engine, nodes, joined, tmp_path):
    taken, since = [], time.time()

    def keep(node):
        taken.append(node)
        return node

    def die(name):
        assert containers(tmp_path)
        if death.startswith("Ray"):
            taken[0].close()
        elif death.startswith("our part"):
            (worker,) = clusters.workers()
            worker.kill()
        else:
            nodes.remove_node(nodes.named[name], allow_graceful=False)

    seen = clusters.Changed(joined, keep)
    _, (result,) = engine_cases.run_echo(seen, tmp_path, "hang", listener=clusters.OnReady(die))
    assert (result.status, result.failure.kind) == ("failed", "node")
    gone(tmp_path, since)
