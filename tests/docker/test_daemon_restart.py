"""The Docker daemon restarts in the middle of a job: a daemon of the test's own, in namespaces of its own."""

import contextlib

import pytest

from orchestrator.engines.docker import images
from tests.support import checks, engine_cases
from tests.support.daemons import Daemon

CHECK = checks.engine("daemon restart", "tests/docker/test_daemon_restart.py")
pytestmark = [pytest.mark.docker, checks.mark(CHECK)]


@contextlib.contextmanager
def engine_on(folder, monkeypatch, *options):
    """The docker engine on a daemon of its own that has the echo image."""
    tag = images.build(engine_cases.behaving(["good"]).images[0], "cpu")
    daemon = Daemon(folder, *options)
    try:
        with daemon.engine(tag, monkeypatch) as engine:
            yield daemon, engine
    finally:
        daemon.stop()


@pytest.mark.parametrize(("options", "outcome"), [(["--live-restore"], "ok"), ([], "failed")])
def test_a_daemon_that_restarts(docker_engine, tmp_path, tmp_path_factory, monkeypatch, options, outcome):
    """With live restore the container survives and not a byte is lost; without, the job fails and the run goes on."""
    folder = tmp_path_factory.mktemp("d")

    with engine_on(folder, monkeypatch, *options) as (daemon, engine):

        class Restarter(engine_cases.Silent):
            def job_event(self, job, event):
                if (job.framework, event.event) == ("slow", "ready"):
                    daemon.restart()

        run_folder, (slow, good) = engine_cases.run_echo(engine, tmp_path, "slow", "good", listener=Restarter())
    assert slow.status == outcome, slow.failure
    assert good.status == "ok"
    if outcome == "ok":
        assert (run_folder.path / f"{slow.job.id}.jsonl").read_bytes().count(b"\n") == 5
    else:
        assert (slow.failure.kind, slow.failure.message) == ("killed", "the job was ended by SIGTERM")


def test_a_daemon_that_never_comes_back(docker_engine, tmp_path, tmp_path_factory, monkeypatch):
    """Every job of the run gets a result, each of them says what to do, and none waits for ever."""
    monkeypatch.setattr("orchestrator.engines.docker.container.RECONNECT_SECONDS", 3)
    folder = tmp_path_factory.mktemp("d")

    with engine_on(folder, monkeypatch, "--live-restore") as (daemon, engine):  # the job lives on, out of reach

        class Assassin(engine_cases.Silent):
            def job_event(self, job, event):
                if event.event == "ready":
                    daemon.stop()

        with engine_cases.at_most(120):
            _, results = engine_cases.run_echo(engine, tmp_path, "slow", "good", listener=Assassin())
    assert [(result.status, result.failure.kind) for result in results] == [("failed", "engine")] * 2
    assert "was lost and did not come back" in results[0].failure.message
    assert "no Docker daemon answers" in results[1].failure.message
    assert all("docker info" in result.failure.hint for result in results)
