"""The client asks the daemon that the docker command uses, and explains why none answers."""

import contextlib
import hashlib
import json
import os
import socket
import tempfile
from pathlib import Path

import pytest

from orchestrator.engines.docker import client, same_machine
from orchestrator.errors import HostError
from tests.support import fake_docker


@pytest.fixture
def daemon():
    with fake_docker.serving() as made:
        yield made


@pytest.fixture
def contexts(tmp_path, monkeypatch):
    """The docker command's configuration; a setter of contexts, by name and address."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    def add(name, address, *, current=False):
        folder = tmp_path / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
        folder.mkdir(parents=True)
        endpoints = {"docker": {"Host": address, "SkipTLSVerify": False}}
        (folder / "meta.json").write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": endpoints}))
        (tmp_path / "config.json").write_text(json.dumps({"currentContext": name} if current else {}))
        return folder / "meta.json"

    return add


def test_the_address_is_that_of_docker_host_before_all(contexts, daemon, monkeypatch):
    contexts("far", "tcp://127.0.0.1:9", current=True)
    monkeypatch.setenv("DOCKER_HOST", daemon.endpoint)
    assert client.server().endpoint == daemon.endpoint


def test_the_current_context_is_followed(contexts, daemon):
    contexts("mine", daemon.endpoint, current=True)
    assert client.server().endpoint == daemon.endpoint


def test_a_context_named_in_the_environment_is_followed(contexts, daemon, monkeypatch):
    contexts("mine", daemon.endpoint)
    monkeypatch.setenv("DOCKER_CONTEXT", "mine")
    assert client.server().endpoint == daemon.endpoint


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_no_proxy_stands_between_the_daemon_and_us(daemon, monkeypatch, variable):
    monkeypatch.setenv(variable, "http://user:secret@127.0.0.1:9")
    with fake_docker.relayed(daemon.endpoint.removeprefix("unix://")) as endpoint:
        monkeypatch.setenv("DOCKER_HOST", endpoint)
        assert client.server().version == "28.3.0"


def test_a_server_that_is_no_daemon_is_described_without_the_proxys_password(daemon, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://user:secret@127.0.0.1:9")
    daemon.error = (404, "")
    monkeypatch.setenv("DOCKER_HOST", daemon.endpoint)
    with pytest.raises(HostError, match="answers with an error: 404") as caught:
        client.server()
    assert "secret" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize("how", ["DOCKER_HOST", "DOCKER_CONTEXT", "docker context use"])
def test_ssh_is_refused_at_once_whoever_named_it(contexts, monkeypatch, how):
    contexts("far", "ssh://user@far", current=how == "docker context use")
    if how != "docker context use":
        monkeypatch.setenv(how, "ssh://user@far" if how == "DOCKER_HOST" else "far")
    with pytest.raises(HostError) as caught:
        client.connect()
    assert caught.value.message == (
        "the Docker daemon at ssh://user@far is on another machine, where this machine's files cannot be mounted"
    )
    assert caught.value.hint.startswith("use a daemon of this machine")


@pytest.mark.parametrize(
    ("status", "words", "seen"),
    [
        (404, "No such image: rosetta/none:none", True),
        (400, 'invalid mount config for type "bind": bind source path does not exist: /x', False),
        (500, "something else", True),  # that does not tell: jobs will
    ],
)
def test_a_daemon_that_does_not_see_our_files_is_refused(daemon, monkeypatch, tmp_path, status, words, seen):
    monkeypatch.setenv("DOCKER_HOST", daemon.endpoint)
    daemon.refusal = (status, {"message": words})
    with contextlib.closing(client.connect()) as made:
        if seen:
            same_machine.check(made.api, tmp_path / "cache")
        else:
            with pytest.raises(HostError, match=f"does not see the files in {tmp_path}"):
                same_machine.check(made.api, tmp_path / "cache")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("address", ["nonsense", "fd://", "tcp://", "tcp://[::1", "unix:///nope", "npipe:////./pipe/x"])
def test_any_address_without_a_daemon_is_one_line(monkeypatch, address):
    monkeypatch.setenv("DOCKER_HOST", address)
    with pytest.raises(HostError) as caught:
        client.connect()
    assert len(caught.value.message.splitlines()) == 1
    assert caught.value.hint


def test_without_both_it_is_dockers_own_socket(contexts):
    assert client.endpoint() == "unix:///var/run/docker.sock"


def test_a_context_that_is_gone_is_an_error(contexts, monkeypatch):
    monkeypatch.setenv("DOCKER_CONTEXT", "gone")
    with pytest.raises(HostError, match="does not exist") as caught:
        client.connect()
    assert "docker context use" in caught.value.hint


def test_a_broken_context_is_an_error(contexts):
    contexts("broken", "unix:///x", current=True).write_text("{")
    with pytest.raises(HostError, match="cannot be read"):
        client.server()


@contextlib.contextmanager
def not_root():
    """As another user than root, for whom a socket's mode counts."""
    was_root = os.geteuid() == 0
    if was_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if was_root:
            os.seteuid(0)


def test_a_socket_of_another_user_is_reported_with_the_way_in(monkeypatch):
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listening:
        path = Path(folder) / "docker.sock"
        listening.bind(str(path))
        listening.listen()
        path.chmod(0)
        Path(folder).chmod(0o755)
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
        with not_root(), pytest.raises(HostError, match=r"docker\.sock: permission denied") as caught:
            client.server(seconds=5)
    assert "usermod -aG docker" in caught.value.hint


def test_a_container_that_is_gone_already_counts_as_removed(daemon, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", daemon.endpoint)
    daemon.refusal = (404, {"message": "No such container: gone"})
    client.remove_container("gone")


def test_what_the_daemon_refuses_to_remove_is_an_error_in_its_words(daemon, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", daemon.endpoint)
    daemon.refusal = (409, {"message": "in use"})
    with pytest.raises(HostError, match="answers with an error: in use"):
        client.remove_image("rosetta/numpy:cpu-1")
