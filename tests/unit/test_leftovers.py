"""`orchestrator clean`: removes what nobody needs any more, and nothing of a run that is going on."""

import tempfile

import pytest
from typer.testing import CliRunner

from orchestrator import cli, leftovers


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A machine with leftovers: a cache, and the folders of a dead and of a living orchestrator's jobs."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("ROSETTA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(leftovers.docker_cli, "labelled", lambda kind, label: [])
    for owner in ("999999-1.00", leftovers.owner()):
        folder = tmp_path / f"{leftovers.JOB_FOLDER}{owner}-abcd"
        folder.mkdir()
        (folder / "spec.json").write_text("{}")
    (tmp_path / "cache" / "datasets" / "cifar10-imported").mkdir(parents=True)
    (tmp_path / "cache" / "datasets" / "cifar10-imported" / "x.npy").write_bytes(b"x" * 1000)
    (tmp_path / "cache" / "datasets" / "cifar10-imported.lock").touch()
    return tmp_path


def call(*arguments, answer=None):
    return CliRunner().invoke(cli.app, ["clean", *arguments], input=answer)


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


def test_all_means_the_caches_too(place):
    call("--all", answer="y\n")
    assert not (place / "cache" / "datasets" / "cifar10-imported").exists()


def test_what_cannot_be_removed_is_said(place, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(leftovers, "remove_tree", refuse)
    done = call("--yes")
    assert "stays" in done.output
    assert "Permission denied" in done.output
