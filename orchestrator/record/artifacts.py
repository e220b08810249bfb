"""The arrays that a job sends in its event stream, written as .npy files while they arrive.

An `artifact` event says what follows: a name, a type, a shape. The bytes come in lines of base64 ("parts"). The files
are made here, from the bytes alone, so nothing else of a job reaches this machine: no links, no modes, no folders.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import math
from pathlib import Path
from typing import IO

from orchestrator.record.events import Artifact, Violation

MAX_BYTES = 64 << 20  # of all artifacts of a job
MAX_NUMBER = 1_000
PART = b'{"part":"'  # how a line begins that carries bytes of an artifact, and is no event
_END = b'"}'


class Artifacts:
    """Receives the artifacts of one job, and keeps those that are complete in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: set[str] = set()
        self._total = 0
        self._event: Artifact | None = None  # the one whose bytes are arriving
        self._file: IO[bytes] | None = None
        self._missing = 0
        self._digest = hashlib.sha256()

    def begin(self, event: Artifact) -> None:
        """Expect the bytes of an artifact. Raises Violation, OSError."""
        size = event.itemsize * math.prod(event.shape)
        self._total += size
        if event.name in self._names:
            raise Violation(f"a second artifact is called {event.name!r}")
        if len(self._names) >= MAX_NUMBER:
            raise Violation(f"more than {MAX_NUMBER:,} artifacts")
        if self._total > MAX_BYTES:
            raise Violation(f"its artifacts have more than {MAX_BYTES >> 20} MiB")
        self._names.add(event.name)
        self._folder.mkdir(exist_ok=True)
        self._event, self._missing, self._digest = event, size, hashlib.sha256()
        self._file = self._path(event).open("wb")
        _write_header(self._file, event)
        if not size:
            self._finish()

    def add(self, line: bytes) -> None:
        """Take a part. Raises Violation, OSError."""
        if self._file is None:
            raise Violation("a part that belongs to no artifact")
        if not line.endswith(_END):
            raise Violation("a part that is cut off")
        try:
            data = base64.b64decode(line[len(PART) : -len(_END)], validate=True)
        except binascii.Error as error:
            raise Violation(f"a part that is no base64: {error}") from None
        if not data or len(data) > self._missing:
            raise Violation(f"a part of {len(data):,} bytes, where {self._missing:,} are missing")
        self._missing -= len(data)
        self._digest.update(data)
        self._file.write(data)
        if not self._missing:
            self._finish()

    def check_whole(self) -> None:
        """Raise Violation when bytes of an artifact are missing."""
        if self._event is not None:
            raise Violation(f"{self._missing:,} bytes of artifact {self._event.name!r} are missing")

    def close(self) -> None:
        """No more will come: what is not whole is removed."""
        if self._event is not None:
            self._drop(self._event)

    def _finish(self) -> None:
        event = self._event
        assert event is not None and self._file is not None  # noqa: PT018, S101  (begin has set both)
        if self._digest.hexdigest() != event.sha256:
            self._drop(event)
            raise Violation(f"the bytes of artifact {event.name!r} are not those of its sha256")
        self._file.close()
        self._path(event).replace(self._folder / event.name)
        self._event = self._file = None

    def _drop(self, event: Artifact) -> None:
        if self._file is not None:
            self._file.close()
        with contextlib.suppress(OSError):
            self._path(event).unlink()
        self._event = self._file = None

    def _path(self, event: Artifact) -> Path:
        """Where an artifact is written until it is whole; a name that no artifact can have."""
        return self._folder / f".{event.name}"


def _write_header(file: IO[bytes], event: Artifact) -> None:
    """What a .npy file has before the bytes of its array."""
    import numpy as np

    descr = np.dtype(event.dtype).newbyteorder("<").str
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": tuple(event.shape)})
