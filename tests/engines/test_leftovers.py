"""`rosetta clean`: removes what is not needed any more, and nothing of a run that is going on."""

import tempfile

import pytest
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.engines import leftovers
from orchestrator.host import machine
from tests.support import fake_docker


def dead():
    """The name of an orchestrator of ours that has ended: its process id belongs to another process now."""
    realm, pid, began = leftovers.owner().split("-")
    return f"{realm}-{pid}-{float(began) - 1000:.2f}"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A machine with leftovers: a cache, and the folders of a dead and of a living orchestrator's jobs."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("ROSETTA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    for owner in (dead(), leftovers.owner()):
        folder = tmp_path / f"{leftovers.JOB_FOLDER}{owner}-abcd"
        folder.mkdir()
        (folder / "spec.json").write_text("{}")
    (tmp_path / "cache" / "datasets" / "cifar10-imported").mkdir(parents=True)
    (tmp_path / "cache" / "datasets" / "cifar10-imported" / "x.npy").write_bytes(b"x" * 1000)
    (tmp_path / "cache" / "datasets" / "cifar10-imported.lock").touch()
    return tmp_path


def call(*arguments, answer=None):
    return CliRunner().invoke(app.app, ["clean", *arguments], input=answer)


def test_only_what_the_dead_left_behind(place):
    done = call("--yes")
    assert done.exit_code == 0
    assert [path.name for path in place.glob("rosetta-job-*")] == [f"rosetta-job-{leftovers.owner()}-abcd"]
    assert (place / "cache" / "datasets" / "cifar10-imported" / "x.npy").exists()
    assert "nothing to remove" in call("--yes").output


def test_it_asks_first(place):
    done = call("--all", answer="n\n")
    assert "nothing was removed" in done.output
    assert "1.0 kB" in done.output
    assert (place / "cache" / "datasets" / "cifar10-imported").exists()
    assert len(list(place.glob("rosetta-job-*"))) == 2


def test_setting_the_clock_ends_no_process(place, monkeypatch):
    """Start times that are counted by that clock are different then."""
    create_time = leftovers.psutil.Process.create_time
    monkeypatch.setattr(leftovers.psutil.Process, "create_time", lambda process: create_time(process) + 3600)
    assert call("--yes").exit_code == 0
    assert [path.name for path in place.glob("rosetta-job-*")] == [f"rosetta-job-{leftovers.owner()}-abcd"]


def test_all_means_the_caches_too(place):
    call("--all", answer="y\n")
    assert not (place / "cache" / "datasets" / "cifar10-imported").exists()


def test_what_cannot_be_removed_is_said(place, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(leftovers, "remove_tree", refuse)
    done = call("--yes")
    assert "was not removed" in done.output
    assert "Permission denied" in done.output


@pytest.mark.skipif(machine.machine_id() is None, reason="this machine has no id that outlives a restart")
def test_what_was_left_before_the_machine_was_started_anew_goes(place):
    user, this_machine, _, ids = leftovers.owner().split("-")[0].split(".")
    folder = place / f"{leftovers.JOB_FOLDER}{user}.{this_machine}.{'0' * 12}.{ids}-1-1.00-abcd"
    folder.mkdir()
    assert call("--yes").exit_code == 0
    assert not folder.exists()


def others():
    """Names of orchestrators that may live though no process here is theirs."""
    realm, pid, began = leftovers.owner().split("-")
    user, machine, boot, ids = realm.split(".")
    return {
        "another user's": f"{int(user) + 1}.{machine}.{boot}.{ids}-999999999-1.00",
        "one of another machine": f"{user}.{'0' * 12}.{'0' * 12}.{ids}-999999999-1.00",
        "one in another container": f"{user}.{machine}.{boot}.1-999999999-1.00",
        "one whose clock was set": f"{realm}-{pid}-{float(began) + 1.5:.2f}",
        "of no known form": "999999999-1.00",
    }


@pytest.fixture
def daemon(place, monkeypatch):
    """A Docker daemon on that machine."""
    with fake_docker.serving() as made:
        monkeypatch.setenv("DOCKER_HOST", made.endpoint)
        yield made


@pytest.mark.parametrize("whose", others())
def test_what_may_belong_to_a_living_orchestrator_stays(whose, place, daemon):
    owner = others()[whose]
    daemon.containers = {"theirs": {leftovers.OWNER_LABEL: owner}}
    folder = place / f"{leftovers.JOB_FOLDER}{owner}-abcd"
    folder.mkdir()
    assert call("--yes").exit_code == 0
    assert folder.exists()
    assert not daemon.removed


def test_the_containers_of_the_dead_go_and_images_stay(daemon):
    owners = {"dead": dead(), "living": leftovers.owner()}
    daemon.containers = {name: {leftovers.OWNER_LABEL: owner} for name, owner in owners.items()}
    daemon.images = {"rosetta/numpy:cpu-1": {leftovers.IMAGE_LABEL: "numpy"}}
    assert call("--yes").exit_code == 0
    assert daemon.removed == ["containers/dead"]


def test_all_means_the_images_too(daemon):
    daemon.images = {"rosetta/numpy:cpu-1": {leftovers.IMAGE_LABEL: "numpy"}}
    done = call("--all", "--yes")
    assert "rosetta/numpy:cpu-1" in done.output
    assert daemon.removed == ["images/rosetta/numpy:cpu-1"]


def test_what_docker_does_not_remove_is_said(daemon):
    daemon.containers = {"stuck": {leftovers.OWNER_LABEL: dead()}}
    daemon.refusal = (409, {"message": "in use"})
    done = call("--yes")
    assert "container stuck was not removed" in " ".join(done.output.split())
    assert "in use" in done.output
