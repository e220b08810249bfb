"""A running container: its output, what it uses, and how it ended."""

from __future__ import annotations

import contextlib
import dataclasses
import struct
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import docker
import docker.errors
import requests
from docker.utils import version_gte

from orchestrator import signals
from orchestrator.engines.base import STOP_GRACE, EngineError, Exit, Output, StreamName
from orchestrator.engines.docker import cgroup
from orchestrator.engines.docker.client import reason
from orchestrator.engines.docker.refusals import LOST_HINT
from orchestrator.engines.pump import Pump
from orchestrator.host.samples import ResourceUsage

if TYPE_CHECKING:
    from docker.models.containers import Container

RECONNECT_SECONDS = 60
CONNECT_SECONDS = 60
MAX_SIGNAL = 64  # the highest number of a signal on Linux
END_SECONDS = 1.0  # between the end of a container's streams and its state saying so
_CONNECTION_LOST = (requests.exceptions.RequestException, docker.errors.APIError, OSError)


class RunningContainer:
    """A container and its output. Attached before it starts, so that not a byte is missed."""

    def __init__(self, api: docker.APIClient, container: Container) -> None:
        self._api = api
        self._container = container
        self._exit: Exit | None = None
        self._id = str(container.id)
        self._group: cgroup.Group | None = None
        self._group_sought = False
        self._memory_peak = 0
        self._pump = Pump(self._read(self._attach()))

    def output(self) -> Iterator[Output | None]:
        try:
            yield from self._pump.outputs()
        except docker.errors.NotFound as error:
            raise EngineError(
                "the container was removed from outside while the job ran", hint="run it again with --resume"
            ) from error
        except _CONNECTION_LOST as error:
            raise EngineError(
                f"the connection to the Docker daemon was lost and did not come back: {reason(error)}",
                hint=LOST_HINT,
            ) from error

    def usage(self) -> ResourceUsage | None:
        """From the kernel where the daemon runs under the same one, else from the daemon."""
        if not self._group_sought:
            self._group_sought = True
            pid = self._api.inspect_container(self._id)["State"]["Pid"]
            self._group = cgroup.of(pid, self._id)
        used = self._group.usage() if self._group else self._told_by_daemon()
        if used is None:
            return None
        self._memory_peak = max(self._memory_peak, used.memory_peak)
        return dataclasses.replace(used, memory_peak=self._memory_peak)

    def _told_by_daemon(self) -> ResourceUsage | None:
        once = version_gte(self._api.api_version, "1.41")
        stats = self._api.stats(self._id, stream=False, one_shot=once or None)
        memory = stats["memory_stats"]
        stopped = stats["cpu_stats"].get("throttling_data", {}).get("throttled_time")
        if "usage" not in memory:  # it has ended
            return None
        return ResourceUsage(
            cpu_seconds=stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9,
            memory=memory["usage"],
            memory_peak=memory.get("max_usage", memory["usage"]),  # cgroup v2 has it not: then the highest one seen
            source="docker stats",
            throttled=None if stopped is None else stopped / 1e9,
            elsewhere=True,
        )

    def pids(self) -> frozenset[int] | None:
        return self._group.pids() if self._group else None

    def stop(self) -> None:
        self.let_go()
        try:
            self._container.kill("SIGTERM")
            deadline = time.monotonic() + STOP_GRACE
            while self._runs() and time.monotonic() < deadline and not signals.insisted():
                time.sleep(0.05)
            self._container.kill()
        except docker.errors.APIError:
            pass  # it has ended
        except requests.exceptions.RequestException as error:
            raise EngineError(
                f"the job cannot be stopped: the Docker daemon does not answer: {reason(error)}", hint=LOST_HINT
            ) from error

    def _runs(self) -> bool:
        self._container.reload()
        return bool(self._container.attrs["State"]["Running"])

    def let_go(self) -> None:
        """The container is about to end: do not hold it up."""
        self._pump.relax()

    @property
    def exit(self) -> Exit:
        if self._exit is None:
            raise EngineError("the container has not ended")
        return self._exit

    def _attach(self) -> Iterator[tuple[StreamName, bytes]]:
        """What the container writes from now on."""
        return self._stream("POST", "attach", stdout=1, stderr=1, stream=1)

    def _logs(self) -> Iterator[tuple[StreamName, bytes]]:
        """What the container has written since it started, and writes until it ends."""
        return self._stream("GET", "logs", stdout=1, stderr=1, follow=1)

    def _stream(self, method: str, what: str, **parameters: int) -> Iterator[tuple[StreamName, bytes]]:
        # The SDK's own attach and logs either lose what arrives together with the response's header, or do not
        # say which stream a chunk belongs to.
        url = f"{self._api.base_url}/v{self._api.api_version}/containers/{self._container.id}/{what}"
        response = self._api.request(method, url, params=parameters, stream=True, timeout=(CONNECT_SECONDS, None))
        response.raise_for_status()
        return _frames(response)

    def _read(self, attached: Iterator[tuple[StreamName, bytes]]) -> Iterator[Output]:
        """Output until the container has ended.

        The end of an attached stream is not the end of the container: it also ends when the daemon restarts. Then the
        daemon's log is read from its beginning, without what has been seen. (Logs keep bytes as they were, but for
        lines over 16 KiB, longer than any event needs to be.)
        """
        seen: dict[StreamName, int] = {"stdout": 0, "stderr": 0}
        skip = dict(seen)
        while True:
            with contextlib.suppress(*_CONNECTION_LOST):
                for stream, data in attached:
                    passed = min(skip[stream], len(data))
                    skip[stream] -= passed
                    seen[stream] += len(data) - passed
                    if len(data) > passed:
                        yield Output(stream, data[passed:])
            self._exit = self._look(patience=END_SECONDS)
            if self._exit is not None:
                return
            skip = dict(seen)
            attached = self._logs()

    def _look(self, *, patience: float) -> Exit | None:
        """How the container ended, or None when it still runs after `patience` seconds.

        Waits for a daemon that is restarting, up to RECONNECT_SECONDS.
        """
        began = time.monotonic()
        while True:
            try:
                self._container.reload()
                state = self._container.attrs["State"]
                if not state["Running"]:
                    return exit_of(state, memory_limit=self._container.attrs["HostConfig"]["Memory"])
                if time.monotonic() > began + patience:
                    return None
                time.sleep(0.005)
            except docker.errors.NotFound:
                raise
            except _CONNECTION_LOST:
                if time.monotonic() > began + RECONNECT_SECONDS:
                    raise
                time.sleep(0.5)


def _frames(response: requests.Response) -> Iterator[tuple[StreamName, bytes]]:
    """The chunks of a multiplexed stream until it ends: a header of 8 bytes (stream number, length), then the bytes."""
    with contextlib.closing(response):
        while len(header := response.raw.read(8)) == 8:
            number, length = struct.unpack(">BxxxL", header)
            yield ("stderr" if number == 2 else "stdout"), response.raw.read(length)


def exit_of(state: Mapping[str, Any], *, memory_limit: int) -> Exit:
    """How a container ended, from its state as Docker describes it, and its limit in bytes; 0 without one."""
    code = int(state["ExitCode"])
    # OOMKilled is also true when only a child was killed and the container went on to succeed.
    out_of_memory = bool(state["OOMKilled"]) and code != 0
    if 128 < code <= 128 + MAX_SIGNAL:  # above, it is the job's own: exit(-1) gives 255
        return Exit(code=None, signal=code - 128, out_of_memory=out_of_memory, memory_limit=memory_limit or None)
    return Exit(code=code, out_of_memory=out_of_memory, memory_limit=memory_limit or None)
