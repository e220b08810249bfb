"""Docker daemons of a test's own, in namespaces of their own. Only root can start them."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from orchestrator.engines.docker.engine import DockerEngine

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Into another file system, with this kernel's interfaces and one folder of this machine.
ENTER = """
root=$1 shared=$2 path=$3; shift 3
mount --bind "$root" "$root"  # a mount point: dockerd remounts what it takes for the root of all
for each in /proc /sys /dev "$shared"; do mkdir -p "$root$each"; mount --rbind "$each" "$root$each"; done
exec env PATH="$path" chroot "$root" "$@"
"""


class Daemon:
    """A dockerd beside the machine's. Without a network namespace of its own it would take the first one's bridge away.

    `root` is the file system it runs in, by default this machine's; `shared` is a folder that both see.
    """

    def __init__(
        self, folder: Path, *options: str, root: Path | None = None, shared: Path | None = None, path: str = ""
    ) -> None:
        if os.geteuid():
            pytest.skip("only root can start a daemon")
        self.socket = f"unix://{folder}/docker.sock"
        dockerd = [
            "dockerd", f"--host={self.socket}", f"--data-root={folder}/data", f"--exec-root={folder}/exec",
            f"--pidfile={folder}/docker.pid", "--bridge=none", "--iptables=false", "--ip6tables=false", *options,
        ]  # fmt: skip
        if root is not None:
            dockerd = ["sh", "-c", ENTER, "sh", str(root), str(shared), f"{path}{PATH}", *dockerd]
        self._argv = ["unshare", "--net", "--mount", *dockerd]
        self._log = folder / "dockerd.log"
        self.start()

    def start(self) -> None:
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

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(60)

    def restart(self) -> None:
        self.stop()
        self.start()

    @contextlib.contextmanager
    def engine(self, tag: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerEngine]:
        """The docker engine at this daemon, which gets the image `tag` of the machine's own."""
        here = ["docker", "--host", self.socket]
        if subprocess.run([*here, "image", "inspect", tag], capture_output=True, check=False).returncode:
            with subprocess.Popen(["docker", "save", tag], stdout=subprocess.PIPE) as saved:
                subprocess.run([*here, "load"], stdin=saved.stdout, check=True, capture_output=True)
        monkeypatch.setenv("DOCKER_HOST", self.socket)
        with contextlib.closing(docker.DockerClient(base_url=self.socket, timeout=60)) as client:
            yield DockerEngine(client)
