"""A Docker daemon that answers what a test wants: a web server on a Unix socket. And a docker command that builds."""

import contextlib
import json
import select
import shutil
import socket
import socketserver
import stat
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

VERSION = {"Version": "28.3.0", "ApiVersion": "1.51", "Components": [{"Name": "Engine"}]}
INFO: dict[str, Any] = {"DockerRootDir": "/", "Runtimes": {"runc": {}}, "CDISpecDirs": None}


class FakeDaemon:
    """Its answers are attributes, which a test may change at any time."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.version: dict[str, Any] = VERSION
        self.info: dict[str, Any] = INFO
        self.images: dict[str, dict[str, str]] = {}  # tag → labels
        self.containers: dict[str, dict[str, str]] = {}  # name → labels
        self.error: tuple[int, Any] | None = None  # a status and a body, for all requests
        self.refusal: tuple[int, Any] | None = None  # the same, for requests that would change something
        self.removed: list[str] = []

    def answer(self, method: str, path: str) -> tuple[int, Any]:
        """A status and a JSON value or text."""
        if self.error is not None:
            return self.error
        if method != "GET" and self.refusal is not None:
            return self.refusal
        if method == "DELETE":
            self.removed.append(path)
            return 200, []
        questions = {"version": self.version, "info": self.info}
        if path in questions:
            return 200, questions[path]
        if path == "containers/json":
            return 200, [{"Names": [f"/{name}"], "Labels": labels} for name, labels in self.containers.items()]
        if path == "images/json":
            return 200, [{"Id": tag} for tag in self.images]
        tag = path.removeprefix("images/").removesuffix("/json")
        if tag in self.images:
            return 200, image(tag, self.images[tag])
        return 404, {"message": f"No such image: {tag}"}


def image(tag: str, labels: dict[str, str]) -> dict[str, Any]:
    return {"Id": "sha256:1", "Size": 5, "Created": "2020", "Config": {"Labels": labels}, "RepoTags": [tag]}


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class _TcpServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True


@contextlib.contextmanager
def serving() -> Iterator[FakeDaemon]:
    """A daemon that listens; its `endpoint` is what DOCKER_HOST should be."""
    folder = tempfile.mkdtemp(prefix="fake-docker-")  # pytest's own folders have names too long for a socket
    path = f"{folder}/docker.sock"
    daemon = FakeDaemon(f"unix://{path}")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path).lstrip("/")
            if path.startswith("v1."):
                path = path.partition("/")[2]
            status, value = daemon.answer(self.command, path)
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = (value if isinstance(value, str) else json.dumps(value)).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_DELETE = do_POST = do_GET  # noqa: N815  (the names that the server looks for)

        def log_message(self, *arguments: Any) -> None:
            pass

    with _Server(path, Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield daemon
        finally:
            server.shutdown()
            thread.join()
            shutil.rmtree(folder)


@contextlib.contextmanager
def relayed(path: str) -> Iterator[str]:
    """A tcp:// address of this machine that leads to the Unix socket `path`."""

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as far:
                far.connect(path)
                other = {self.request: far, far: self.request}
                while ready := select.select(list(other), [], [], 60)[0]:
                    data = ready[0].recv(65536)
                    if not data:
                        return
                    other[ready[0]].sendall(data)

    with _TcpServer(("127.0.0.1", 0), Relay) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def command(folder: Path, name: str, script: str) -> Path:
    """A shell script called `name` in `folder`."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path
