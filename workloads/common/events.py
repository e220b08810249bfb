"""The event stream that a workload writes, its clock, and the classes of its failures: a part of bench.py."""

import base64
import json
import os
import re
import threading
import time

# How frameworks and the libraries below them say that there is no memory left, in lower case; as in bench.jl.
OUT_OF_MEMORY = re.compile(
    r"out[ _]?of[ _]?(gpu[ _]?)?memory|\boom when|resource_?exhausted|dst tensor is not initialized"
    r"|cudaerrormemoryallocation|bad_?alloc|alloc_failed|alloc.*fail|fail.*alloc|(cannot|can't|unable to) allocate",
    re.DOTALL,
)
# How CUDA says that a framework was not compiled for the GPU it found.
NOT_FOR_THIS_GPU = ("no kernel image", "no binary for gpu", "invalid device function")

PART_BYTES = 9000  # of an array in one line, which base64 makes a third longer

clock = time.perf_counter


class Diverged(Exception):
    """The training loss is no longer a finite number."""


class Unreadable(Exception):
    """What the job was given to read cannot be read."""


class Events:
    """The event stream: one JSON object per line, numbered, written whole."""

    def __init__(self, descriptor):
        self._descriptor = descriptor
        self._sequence = 0
        self._started = clock()
        self._lock = threading.Lock()

    def emit(self, event, **fields):
        """Write one event. A value JSON cannot hold (NaN, infinity) is a programming error and raises ValueError."""
        with self._lock:
            record = dict(event=event, seq=self._sequence, t=round(clock() - self._started, 6), **fields)
            self._sequence += 1
            self._write(json.dumps(record, allow_nan=False, separators=(",", ":")).encode() + b"\n")

    def emit_parts(self, data):
        """Write the bytes of the artifact whose event came before."""
        for first in range(0, len(data), PART_BYTES):
            self._write(b'{"part":"' + base64.b64encode(data[first : first + PART_BYTES]) + b'"}\n')

    def _write(self, line):
        while line:
            line = line[os.write(self._descriptor, line) :]


def failure_class(error):
    """Tell apart the failures that mean different things to the person who has to act on them."""
    text = "{}: {}".format(type(error).__name__, error).lower()
    if isinstance(error, Diverged):
        return "diverged"
    if isinstance(error, NotImplementedError):  # raised by a workload for what its framework cannot do
        return "unsupported"
    if isinstance(error, MemoryError) or OUT_OF_MEMORY.search(text):
        return "out_of_memory"
    if any(words in text for words in NOT_FOR_THIS_GPU):
        return "unsupported"
    if isinstance(error, Unreadable):
        return "input"
    return "exception"
