"""The event stream of a workload: bytes → lines → events. Pure, bounded, and suspicious of every byte.

workloads/common/PROTOCOL.md is the specification; this module is the host's reading of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import pydantic
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from orchestrator.sealed import first_problem

MAX_LINE_BYTES = 1 << 20
MAX_BATCHES = 10_000
_ITEM_BYTES = {"uint8": 1, "int8": 1, "int32": 4, "int64": 8, "float32": 4, "float64": 8}

Seconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Elapsed = Annotated[float, Field(ge=1e-9, le=1e9, allow_inf_nan=False)]  # of work: rates divide by it
LossValue = Annotated[float, Field(allow_inf_nan=False)]
Index = Annotated[int, Field(ge=1, le=10**9)]
Samples = Annotated[int, Field(ge=0, le=10**12)]
ShortText = Annotated[str, Field(max_length=200)]
Text = Annotated[str, Field(max_length=4000)]
ErrorKind = Literal["out_of_memory", "diverged", "input", "unsupported", "exception"]


class Violation(Exception):
    """The stream breaks the protocol; the message has the details."""


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    seq: Annotated[int, Field(ge=0)]
    t: Seconds


class Start(_Event):
    """What runs; before anything expensive."""

    event: Literal["start"]
    protocol: int
    framework: ShortText
    workload: ShortText
    version: ShortText
    versions: Annotated[dict[ShortText, ShortText], Field(max_length=50)]
    device: Literal["cpu", "gpu"]
    device_name: ShortText | None
    gpus: Annotated[list[ShortText], Field(max_length=64)] = []  # UUIDs of the GPUs it sees, if it runs on one
    ranks: Annotated[int, Field(ge=1, le=64)] = 1  # that train together
    precision: ShortText
    threads: Annotated[int, Field(ge=1, le=100_000)]
    fused: bool | None
    denormals: Literal["flushed", "kept"]
    notes: Annotated[list[Text], Field(max_length=20)]


class Ready(_Event):
    """Data, model and compiled code are in place."""

    event: Literal["ready"]
    load_s: Seconds
    build_s: Seconds
    compile_s: Seconds


class Step(_Event):
    """Progress within an epoch."""

    event: Literal["step"]
    epoch: Index
    step: Index
    samples: Samples
    seconds: Seconds
    loss: LossValue


class Epoch(_Event):
    """One pass over the training set, between two idle moments of the device."""

    event: Literal["epoch"]
    epoch: Index
    samples: Samples
    seconds: Elapsed
    loss: LossValue


class Score(_Event):
    """How the model did on all test samples, after the epoch before: correct predictions, or the mean loss."""

    event: Literal["score"]
    samples: Annotated[int, Field(ge=1, le=10**12)]
    correct: Samples | None = None
    loss: LossValue | None = None
    seconds: Seconds

    @pydantic.model_validator(mode="after")
    def _one_figure(self) -> Score:
        if (self.correct is None) == (self.loss is None):
            raise ValueError("a score has either 'correct' or 'loss'")
        if self.correct is not None and self.correct > self.samples:
            raise ValueError("more correct predictions than samples")
        return self


class _Pass(_Event):
    samples: Samples
    seconds: Elapsed
    batch_seconds: Annotated[list[Seconds], Field(min_length=1, max_length=MAX_BATCHES)]


class Cold(_Pass):
    """The first inference pass, with everything it compiles and tunes."""

    event: Literal["cold"]


class Inference(_Pass):
    """The timed inference pass."""

    event: Literal["inference"]


class Artifact(_Event):
    """An array that is kept beside the result; its bytes follow in parts (see artifacts.py)."""

    event: Literal["artifact"]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}\.npy$")]
    dtype: Literal["uint8", "int8", "int32", "int64", "float32", "float64"]
    shape: Annotated[list[Annotated[int, Field(ge=0, le=10**9)]], Field(max_length=16)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return _ITEM_BYTES[self.dtype]


class Error(_Event):
    """The workload failed; the last event."""

    event: Literal["error"]
    kind: ErrorKind
    type: ShortText
    message: Text


class End(_Event):
    """The workload succeeded; the last event."""

    event: Literal["end"]


Event = Start | Ready | Step | Epoch | Score | Cold | Inference | Artifact | Error | End
# What may follow what. `artifact` may come anywhere, `error` and `end` too: whether all was said is for figures.py.
_FOLLOWS = {
    "start": {"ready"},
    "ready": {"step", "epoch", "cold"},
    "step": {"step", "epoch"},
    "epoch": {"step", "epoch", "score"},
    "score": {"step", "epoch"},
    "cold": {"inference"},
    "inference": set[str](),
}
_LAST = ("end", "error")
_ADAPTER: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


class Lines:
    """Cuts a byte stream into lines, wherever its chunks happen to end. Memory is bounded by one line."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the lines that `chunk` completes, without their newlines. An overlong line is a Violation."""
        first, *others = chunk.split(b"\n")
        self._rest += first
        if others:
            yield self.close()
            *complete, rest = others
            for line in complete:
                _check_length(line)
                yield line
            self._rest += rest
        _check_length(self._rest)

    def close(self) -> bytes:
        """What follows the last newline: empty in a well-formed stream."""
        _check_length(self._rest)
        line = bytes(self._rest)
        self._rest.clear()
        return line


class Reader:
    """Turns lines into events and watches over their order. One per stream."""

    def __init__(self) -> None:
        self._next = 0
        self._stage = "start"
        self._epoch = 0
        self._over = False

    @property
    def over(self) -> bool:
        """Whether the last event (`end` or `error`) has been seen."""
        return self._over

    def read(self, line: bytes) -> Event:
        """Parse one line. Raises Violation when it is no event or comes at the wrong time."""
        try:
            event = _ADAPTER.validate_json(line)
        except pydantic.ValidationError as error:
            raise Violation(f"{shown(line)} is no event: {first_problem(error)}") from None
        kind = event.event  # compared as text: `isinstance` of a pydantic model costs several times as much
        if self._over:
            raise Violation(f"{kind!r} after the end of the stream")
        if event.seq != self._next:
            raise Violation(f"event {kind!r} has number {event.seq}, expected {self._next}")
        if (event.seq == 0) != (kind == "start") and kind != "error":
            raise Violation(f"the stream must begin with 'start', and only so; event {event.seq} is {kind!r}")
        if isinstance(event, Epoch):
            if event.epoch != self._epoch + 1:
                raise Violation(f"epoch {event.epoch} follows epoch {self._epoch}")
            self._epoch = event.epoch
        if kind in _FOLLOWS and kind != "start":
            if kind not in _FOLLOWS[self._stage]:
                raise Violation(f"{kind!r} after {self._stage!r}")
            self._stage = kind
        self._next += 1
        self._over = kind in _LAST
        return event


def _check_length(line: bytes | bytearray) -> None:
    if len(line) > MAX_LINE_BYTES:
        raise Violation(f"a line is longer than {MAX_LINE_BYTES >> 20} MiB")


def shown(line: bytes) -> str:
    """A line from an untrusted program, short and printable."""
    text = line[:120].decode("utf-8", "replace")
    return repr(text if len(line) <= 120 else text + "…")
