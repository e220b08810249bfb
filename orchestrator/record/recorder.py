"""Writes what a running job sends into its event file, its log and its artifacts, each up to a limit."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from orchestrator.errors import StoreError
from orchestrator.record.artifacts import Artifacts
from orchestrator.record.events import Artifact, Violation

MAX_LOG_BYTES = 64 << 20
MAX_EVENT_BYTES = 1 << 30


class Recorder:
    """Appends to the files of one job."""

    def __init__(
        self,
        events: IO[bytes],
        log: IO[bytes],
        artifacts: Artifacts,
        *,
        max_event_bytes: int = MAX_EVENT_BYTES,
        max_log_bytes: int = MAX_LOG_BYTES,
    ) -> None:
        self._events = events
        self._log = log
        self._artifacts = artifacts
        self._max_event_bytes = max_event_bytes
        self._max_log_bytes = max_log_bytes
        self._logged = 0
        self._recorded = 0

    def event(self, line: bytes) -> None:
        """Keep one event line exactly as it was received. Raises Violation, StoreError."""
        self._recorded += len(line) + 1
        if self._recorded > self._max_event_bytes:
            raise Violation(f"it sent more than {self._max_event_bytes / 2**20:,.0f} MiB of events")
        self._write(self._events, line + b"\n")

    def artifact(self, event: Artifact) -> None:
        """Make a file for an artifact. Raises Violation, StoreError."""
        with store_errors(self._path):
            self._artifacts.begin(event)

    def part(self, line: bytes) -> None:
        """Keep bytes of the artifact. Raises Violation, StoreError."""
        with store_errors(self._path):
            self._artifacts.add(line)

    def check_whole(self) -> None:
        """Raise Violation when bytes of an artifact are missing."""
        self._artifacts.check_whole()

    def log(self, data: bytes) -> None:
        """Keep bytes that the job printed beside its events, as long as there is room: see `log_is_full`."""
        room = self._max_log_bytes - self._logged
        self._logged += len(data)
        if room > 0:
            self._write(self._log, data[:room])

    @property
    def log_is_full(self) -> bool:
        """Whether the job printed more than is kept."""
        return self._logged > self._max_log_bytes

    @property
    def log_name(self) -> str:
        """The log's path from the folder of results on: results/RUN/JOB.log. It is stored, so it names no home."""
        parts = self._path.parts
        return "/".join(parts[-4:] if parts[-3] == "verify" else parts[-3:])

    @property
    def _path(self) -> Path:
        return Path(self._log.name)

    def flush(self) -> None:
        """Make everything written so far visible to other processes."""
        with store_errors(self._path):
            self._events.flush()
            self._log.flush()

    def close(self) -> None:
        """Write everything to the disk and close all files."""
        with self._events, self._log, store_errors(self._path):
            self._artifacts.close()
            for stream in (self._events, self._log):
                stream.flush()
                os.fsync(stream.fileno())

    def _write(self, stream: IO[bytes], data: bytes) -> None:
        try:
            stream.write(data)
        except OSError as error:
            raise unwritable(Path(stream.name), error) from error


@contextlib.contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Turn an OSError of the block into a StoreError that names `path` and the remedy."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> StoreError:
    """The error for a person whose file `path` could not be written."""
    hint = "make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "check the disk and its permissions"
    return StoreError(
        f"{path}: cannot be written: {error.strerror}",
        hint=f"{hint}; then go on with `rosetta bench --resume`",
    )
