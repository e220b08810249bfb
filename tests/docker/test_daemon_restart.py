"""The Docker daemon restarts in the middle of a job: a daemon of the test's own, in namespaces of its own."""

import contextlib
import os
import subprocess
import time

import docker
import pytest

from orchestrator import images
from orchestrator.engines.docker import DockerEngine
from tests import engine_cases as cases

pytestmark = pytest.mark.docker


class Daemon:
    """A second dockerd. Without a network namespace of its own it would take the first one's bridge away."""

    def __init__(self, folder, *options):
        self.socket = f"unix://{folder}/docker.sock"
        self._argv = [
            "unshare", "--net", "--mount", "dockerd", f"--host={self.socket}", f"--data-root={folder}/data",
            f"--exec-root={folder}/exec", f"--pidfile={folder}/docker.pid", "--bridge=none", "--iptables=false",
            "--ip6tables=false", *options,
        ]  # fmt: skip
        self._log = folder / "dockerd.log"
        self.start()

    def start(self):
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._argv, stdout=log, stderr=log, start_new_session=True)
        for _ in range(300):
            if (
                subprocess.run(
                    ["docker", "--host", self.socket, "version"], capture_output=True, check=False
                ).returncode
                == 0
            ):
                return
            time.sleep(0.1)
        pytest.fail(self._log.read_text()[-2000:])

    def stop(self):
        self._process.terminate()
        self._process.wait(60)

    def restart(self):
        self.stop()
        self.start()


@contextlib.contextmanager
def engine_on(folder, monkeypatch, *options):
    """The docker engine on a daemon of its own that has the echo image."""
    image = cases.behaving(["good"]).images[0]
    tag = images.build(image, "cpu", log=print)
    daemon = Daemon(folder, *options)
    try:
        with subprocess.Popen(["docker", "save", tag], stdout=subprocess.PIPE) as saved:
            subprocess.run(
                ["docker", "--host", daemon.socket, "load"], stdin=saved.stdout, check=True, capture_output=True
            )
        monkeypatch.setenv("DOCKER_HOST", daemon.socket)
        client = docker.DockerClient(base_url=daemon.socket, timeout=60)
        yield daemon, DockerEngine(client)
        client.close()
    finally:
        daemon.stop()


@pytest.mark.parametrize(("options", "outcome"), [(["--live-restore"], "ok"), ([], "failed")])
def test_a_daemon_that_restarts(docker_engine, tmp_path, tmp_path_factory, monkeypatch, options, outcome):
    """With live restore the container survives and not a byte is lost; without, the job fails and the run goes on."""
    if os.geteuid():
        pytest.skip("only root can start a daemon")
    folder = tmp_path_factory.mktemp("d")

    with engine_on(folder, monkeypatch, *options) as (daemon, engine):

        class Restarter(cases.Silent):
            def job_event(self, job, event):
                if (job.framework, event.event) == ("slow", "ready"):
                    daemon.restart()

        run_folder, (slow, good) = cases.run_echo(engine, tmp_path, "slow", "good", listener=Restarter())
    assert slow.status == outcome, slow.failure
    assert good.status == "ok"
    if outcome == "ok":
        assert (run_folder.path / f"{slow.job.id}.jsonl").read_bytes().count(b"\n") == 5
    else:
        assert (slow.failure.kind, slow.failure.message) == ("killed", "the job was ended by SIGTERM")


def test_a_daemon_that_never_comes_back(docker_engine, tmp_path, tmp_path_factory, monkeypatch):
    """Every job of the run gets a result, each of them tells what to do, and none waits for ever."""
    if os.geteuid():
        pytest.skip("only root can start a daemon")
    monkeypatch.setattr("orchestrator.engines.docker.RECONNECT_SECONDS", 3)
    folder = tmp_path_factory.mktemp("d")

    with engine_on(folder, monkeypatch, "--live-restore") as (daemon, engine):  # the job lives on, out of reach

        class Assassin(cases.Silent):
            def job_event(self, job, event):
                if event.event == "ready":
                    daemon.stop()

        with cases.at_most(120):
            _, results = cases.run_echo(engine, tmp_path, "slow", "good", listener=Assassin())
    assert [(result.status, result.failure.kind) for result in results] == [("failed", "engine")] * 2
    assert "was lost and did not come back" in results[0].failure.message
    assert "no Docker daemon answers" in results[1].failure.message
    assert all("docker info" in result.failure.hint for result in results)
