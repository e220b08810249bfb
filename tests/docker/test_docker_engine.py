"""The docker engine, with real containers."""

import contextlib
import dataclasses
import io
import json
import os
import shutil
import sys
import threading
import types
from urllib.parse import urlsplit

import psutil
import pytest
import requests

from orchestrator.engines import leftovers
from orchestrator.engines.base import EngineError, Exit
from orchestrator.engines.docker import client, container, engine
from orchestrator.engines.docker.engine import DockerEngine
from orchestrator.errors import BuildError
from orchestrator.host import quotas
from orchestrator.host.quotas import Limits
from tests.support import checks, engine_cases

CHECK = checks.engine("docker engine", "tests/docker/test_docker_engine.py")
pytestmark = [pytest.mark.docker, checks.mark(CHECK)]


@pytest.fixture
def daemon(docker_engine):
    """A client of the daemon."""
    with contextlib.closing(client.connect()) as made:
        yield made


@pytest.mark.parametrize("check", [value for name, value in vars(engine_cases).items() if name.startswith("check_")])
def test_the_contract_of_engines(check, docker_engine, tmp_path):
    check(docker_engine, tmp_path)


@pytest.mark.parametrize(
    ("code", "ended"),
    [(137, Exit(code=None, signal=9)), (1, Exit(code=1)), (255, Exit(code=255)), (128, Exit(code=128))],
)
def test_only_a_signal_is_reported_as_one(code, ended):
    """exit(-1), which is 255, is a program's own word."""
    assert container.exit_of({"ExitCode": code, "OOMKilled": False}, memory_limit=0) == ended


def test_a_job_that_cannot_be_stopped_is_reported_as_a_fault_of_the_daemon():
    """While it is away, Ctrl-C must still end in a result and a word how to go on."""

    def kill(signal=None):
        raise requests.exceptions.ConnectionError("refused")

    response = types.SimpleNamespace(raise_for_status=lambda: None, raw=io.BytesIO(), close=lambda: None)
    api = types.SimpleNamespace(base_url="", api_version="1.41", request=lambda *_, **__: response)
    state = {"Running": False, "ExitCode": 0, "OOMKilled": False}
    away = types.SimpleNamespace(
        id="1", attrs={"State": state, "HostConfig": {"Memory": 0}}, reload=lambda: None, kill=kill
    )
    running = container.RunningContainer(api, away)
    with pytest.raises(EngineError, match="cannot be stopped: the Docker daemon does not answer") as caught:
        running.stop()
    assert "--resume" in caught.value.hint


@pytest.fixture
def nosy(docker_engine, tmp_path, monkeypatch):
    monkeypatch.setenv("ROSETTA_TEST_SECRET", "hush")
    folder, (result,) = engine_cases.run_echo(docker_engine, tmp_path, "nosy", cpus=1)
    return engine_cases.facts_of(folder, result)


def test_a_container_is_locked_down(nosy):
    assert nosy["uid"] != 0
    assert nosy["pid"] != 1  # an init process reaps and passes signals on
    assert nosy["capabilities"].strip("0") == ""
    assert nosy["network"] == "OSError"
    assert {nosy["root"], nosy["workloads"], nosy["inputs"]} <= {"OSError", "PermissionError"}
    assert nosy["tmp"] == "allowed"
    assert nosy["files"] == ["__init__.py", "echo"]  # the code that its fingerprint covers
    assert nosy["secret"] is None
    assert nosy["variable"] == "very"
    assert nosy["cpus"] == [min(os.sched_getaffinity(0))]
    assert nosy["listing"] == ["weights.npz"]


@pytest.fixture
def nosy_with_proxy(docker_engine, tmp_path, monkeypatch):
    """Facts of a job whose user has a proxy with a password in the configuration of the docker command."""
    (tmp_path / "docker").mkdir()
    proxy = {"httpProxy": "http://me:hush@proxy:1", "httpsProxy": "http://me:hush@proxy:1", "noProxy": "localhost"}
    (tmp_path / "docker" / "config.json").write_text(json.dumps({"proxies": {"default": proxy}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    folder, (result,) = engine_cases.run_echo(engine.connect(), tmp_path, "nosy", cpus=1)
    return engine_cases.facts_of(folder, result)


def test_nothing_of_the_docker_clients_configuration_reaches_a_job(nosy_with_proxy):
    assert nosy_with_proxy["proxies"] == []


def test_a_container_without_a_limit_leaves_memory_to_the_system(docker_engine, daemon, tmp_path):
    seen = []

    class Looker(engine_cases.Silent):
        def job_event(self, job, event):
            (container,) = daemon.containers.list(filters={"label": f"rosetta.job={job.id}"})
            seen.append(container.attrs["HostConfig"])

    engine_cases.run_echo(docker_engine, tmp_path, "slow", listener=Looker())
    assert 0.5 * psutil.virtual_memory().total < seen[0]["Memory"] < psutil.virtual_memory().total
    assert seen[0]["MemorySwap"] == seen[0]["Memory"]


def test_an_image_with_a_volume_is_refused(docker_engine, tmp_path):
    """A volume is a folder on the host's disk that no limit holds for."""
    root = tmp_path / "root"
    shutil.copytree(engine_cases.ECHO, root)
    recipe = root / "images" / "echo" / "Dockerfile"
    recipe.write_text(f"{recipe.read_text()}VOLUME /data\n")
    (image,) = engine_cases.behaving(["good"], root).images
    with pytest.raises(BuildError, match="declares the volume /data"):
        docker_engine.prepare(image, "cpu")


def test_a_container_gets_the_limits_of_the_orchestrator(docker_engine, daemon, tmp_path, monkeypatch):
    """The daemon may start it outside of the control group that limits the orchestrator."""
    seen = []

    class Curious(engine_cases.Silent):
        def job_event(self, job, event):
            for each in daemon.containers.list(all=True, filters={"label": f"rosetta.job={job.id}"}):
                limits = each.attrs["HostConfig"]
                seen.append((limits["NanoCpus"], limits["Memory"], limits["CpusetCpus"]))

    monkeypatch.setattr(quotas, "inspect", lambda: Limits(cpus=0.5, memory=256 << 20))
    _, results = engine_cases.run_echo(docker_engine, tmp_path, "good", "greedy", listener=Curious())
    assert set(seen) == {(500_000_000, 256 << 20, str(min(os.sched_getaffinity(0))))}
    assert [result.failure and result.failure.kind for result in results] == [None, "out_of_memory"]
    assert results[0].provenance.host.cpu_quota == 0.5


def test_provenance_names_the_image(docker_engine, tmp_path):
    _, (result,) = engine_cases.run_echo(docker_engine, tmp_path, "good")
    facts = result.provenance.environment
    assert facts.id.startswith("sha256:")
    assert facts.tag.startswith("rosetta/echo:cpu-")
    assert facts.labels["rosetta.python"] == "3.11"
    assert result.provenance.host.docker


def test_no_container_is_left_behind(docker_engine, daemon, tmp_path):
    folder, _ = engine_cases.run_echo(docker_engine, tmp_path, "good", "crash", "flood")
    assert containers_of(daemon, folder.id) == []


def test_a_fork_bomb_stays_in_its_container(docker_engine, daemon, tmp_path):
    with engine_cases.at_most(60):
        folder, results = engine_cases.run_echo(docker_engine, tmp_path, "forks", "good", timeout=5.0)
    assert [result.status for result in results] == ["timeout", "ok"]
    assert containers_of(daemon, folder.id) == []


def test_tmp_counts_as_memory(docker_engine, tmp_path):
    _, (result,) = engine_cases.run_echo(docker_engine, tmp_path, "tmp", memory=256 << 20)
    assert (result.failure.kind, "256 MiB" in result.failure.message) == ("out_of_memory", True)


SMALL_MACHINE = (
    "import sys, pathlib\n"
    "from tests.support import engine_cases as cases\n"
    "folder = pathlib.Path(sys.argv[1])\n"
    "_, results = cases.run_echo(cases.engine_called('process', folder), folder, 'greedy', 'good')\n"
    "print(*((result.status, result.failure and result.failure.message) for result in results), sep='\\n')\n"
)


def test_a_machine_that_runs_out_of_memory(docker_engine, daemon, tmp_path, root):
    """A small machine: this one's files and processes in a container of 400 MiB. There the kernel ends the job."""
    image = docker_engine.prepare(engine_cases.behaving(["good"]).images[0], "cpu").handle
    done = daemon.containers.run(
        image,
        ["chroot", "/host", "env", f"--chdir={root}", sys.executable, "-c", SMALL_MACHINE, str(tmp_path)],
        user="0:0",
        remove=True,
        pid_mode="host",
        mem_limit=400 << 20,
        memswap_limit=400 << 20,
        volumes={"/": {"bind": "/host", "mode": "rw"}},
    )
    assert done.decode().splitlines() == [
        "('failed', 'the job used more memory than its limit of 400 MiB')",
        "('ok', None)",
    ]


def test_a_container_removed_from_outside(docker_engine, daemon, tmp_path):
    class Saboteur(engine_cases.Silent):
        def job_event(self, job, event):
            for each in daemon.containers.list(filters={"label": "rosetta.job=hang-resnet50-cpu-1"}):
                each.remove(force=True)

    _, results = engine_cases.run_echo(docker_engine, tmp_path, "hang", "good", listener=Saboteur())
    assert [result.status for result in results] == ["failed", "ok"]
    # Which of the two depends on whether its last state could still be read.
    assert results[0].failure.message in {
        "the container was removed from outside while the job ran",
        "the job was ended by SIGKILL",
    }


def test_a_base_image_that_cannot_be_pulled(docker_engine, tmp_path, monkeypatch):
    monkeypatch.setenv("ROSETTA_BASE_PREFIX", "127.0.0.1:1/nobody")
    _, (result,) = engine_cases.run_echo(docker_engine, tmp_path, "good")
    assert result.failure.kind == "pull"
    assert "ROSETTA_BASE_PREFIX" in result.failure.hint


def test_an_image_removed_from_outside(docker_engine, daemon, tmp_path):
    class Forgetful(docker_engine.__class__):
        def prepare(self, image, variant):
            made = super().prepare(image, variant)
            return dataclasses.replace(made, handle="sha256:" + "0" * 64)

    _, (result,) = engine_cases.run_echo(Forgetful(daemon), tmp_path, "good")
    assert result.failure.kind == "engine"
    assert "No such image" in result.failure.message
    assert "built again" in result.failure.hint


def test_clean_removes_the_containers_of_the_dead_only(docker_engine, daemon, tmp_path):
    image = docker_engine.prepare(engine_cases.behaving(["good"]).images[0], "cpu").handle
    names = {}
    realm, pid, began = leftovers.owner().split("-")
    dead = f"{realm}-{pid}-{float(began) - 1000:.2f}"
    for owner in (dead, leftovers.owner()):
        labels = {leftovers.OWNER_LABEL: owner, "rosetta.run": "test-clean"}
        names[owner] = daemon.containers.create(image, ["sleep", "600"], labels=labels).name
    try:
        found = {each.name: each for each in leftovers.find(tmp_path, everything=False) if each.kind == "container"}
        assert names[dead] in found
        assert names[leftovers.owner()] not in found
        found[names[dead]].remove()
        assert [container.name for container in containers_of(daemon, "test-clean")] == [names[leftovers.owner()]]
    finally:
        for container in containers_of(daemon, "test-clean"):
            container.remove(force=True)


class OneChunk:
    """The body of a response, of which the first chunk arrives: its header, and its bytes."""

    def __init__(self, body):
        self._body = body
        self._left = 2
        self.close = body.close

    def read(self, count):
        self._left -= 1
        return self._body.read(count) if self._left >= 0 else b""


def test_a_lost_connection_is_picked_up_from_the_log(docker_engine, daemon, tmp_path):
    """The daemon's end of the stream goes away in the middle of a job; no byte is lost or comes twice."""
    asked = []

    def cut(response, **_):
        asked.append(urlsplit(response.url).path.rpartition("/")[2])
        if asked[-1] == "attach":
            response.raw = OneChunk(response.raw)

    daemon.api.hooks["response"].append(cut)
    folder, (result,) = engine_cases.run_echo(DockerEngine(daemon), tmp_path, "slow")
    assert (asked.count("attach"), asked.count("logs")) == (1, 1)
    assert result.status == "ok", result.failure
    assert (folder.path / f"{result.job.id}.jsonl").read_bytes().count(b"\n") == 5


def test_a_daemon_elsewhere_tells_the_use_itself(docker_engine, tmp_path, monkeypatch):
    """Docker Desktop and remote daemons have a kernel of their own: their containers' groups cannot be read here."""
    from orchestrator.engines.docker import cgroup

    monkeypatch.setattr(cgroup, "of", lambda pid, container: None)
    for number in range(3):  # a daemon that has much else to do may answer too seldom to tell a rate
        (tmp_path / str(number)).mkdir()
        _, (result,) = engine_cases.run_echo(docker_engine, tmp_path / str(number), "busy")
        used = result.telemetry
        if used.cpus is not None:
            break
    assert (used.usage_source, used.notes) == ("docker stats", ())
    assert 200 << 20 <= used.memory_peak < 400 << 20
    assert 1.2 <= used.cpus * used.seconds < 2.2


def test_two_runs_at_once_do_not_disturb_each_other(docker_engine, tmp_path):
    outcomes = []

    def run(name):
        (tmp_path / name).mkdir()
        _, results = engine_cases.run_echo(docker_engine, tmp_path / name, "good")
        outcomes.extend(result.status for result in results)

    threads = [threading.Thread(target=run, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == ["ok", "ok"]


def test_an_image_that_cannot_be_built_fails_its_jobs_only(docker_engine, tmp_path):
    root = tmp_path / "project"
    shutil.copytree(engine_cases.ECHO, root)
    dockerfile = root / "images" / "echo" / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("WORKDIR", "RUN echo broken >&2 && exit 9\nWORKDIR"))
    _, (result,) = engine_cases.run_echo(docker_engine, tmp_path, "good", root=root)
    assert (result.status, result.failure.kind) == ("failed", "build")
    assert "image echo (cpu) could not be built" in result.failure.message
    assert "broken" in result.failure.message


def containers_of(daemon, run):
    return daemon.containers.list(all=True, filters={"label": f"rosetta.run={run}"})
