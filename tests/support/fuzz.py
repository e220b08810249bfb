"""Fuzzes the way from a job's bytes to its stored result: whatever a job prints, there is a result, and it reads back.

    python -m tests.support.fuzz SECONDS [SEED]

Starts from the golden streams and spoils them in ways a program might: cut, repeated, swapped, with other numbers,
with stray bytes, in chunks that end anywhere. Ends with the input that broke something, if one did.
"""

import base64
import hashlib
import json
import math
import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from orchestrator.engines.base import Exit, Output
from orchestrator.plan.jobs import Job
from orchestrator.record.provenance import CodeFacts, EnvironmentFacts, HostFacts
from orchestrator.record.results import Provenance, Result
from orchestrator.record.run_folder import RunFolder
from orchestrator.run.conversation import Conversation

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
VALUES = (
    b"-1", b"0", b"1e999", b"-1e-320", b"NaN", b"9" * 400, b"true", b"null", b'""', b"[]", b"{}", b'"\\ud800"', b"1.5",
    b"1" * 5000, b'"' + b"x" * 5000 + b'"', b"[" * 3000,
)  # fmt: skip
PROVENANCE = Provenance(engine="process", environment=EnvironmentFacts(), code=CodeFacts(), host=HostFacts())
JOB = Job(
    id="tiny-cnn-cpu-1", framework="tiny", title="Tiny", image="tiny", module="tiny", env={}, workload="cnn",
    dataset="cifar10", device="cpu", repeat=1, precision="fp32", seed=1, trace=2,
    settings={"epochs": 2, "batch": 4, "train_samples": 10, "test_samples": 6}, timeout=1.0, memory=None, cpus=None,
)  # fmt: skip


def whole(path: Path) -> bytes:
    """A golden stream with values where the golden file has a mask, and the bytes of its artifacts."""
    events = [json.loads(line) for line in path.read_text().splitlines()]
    fields = {"threads": 2, "denormals": "flushed", "seconds": 0.5}
    lines = []
    for event in events:
        event.update({key: value for key, value in fields.items() if key in event})
        data = b""
        if event["event"] == "artifact":
            data = bytes(np.dtype(event["dtype"]).itemsize * math.prod(event["shape"]))
            event["sha256"] = hashlib.sha256(data).hexdigest()
        lines.append(json.dumps(event))
        parts = (base64.b64encode(data[first : first + 9000]).decode() for first in range(0, len(data), 9000))
        lines += [f'{{"part":"{part}"}}' for part in parts]
    return "".join(line + "\n" for line in lines).encode()


CORPUS = [whole(path) for path in sorted(GOLDEN.glob("*.jsonl"))]


def spoil(stream: bytes, dice: random.Random) -> bytes:
    """One small change somewhere in a stream."""
    at = dice.randrange(len(stream) + 1)
    lines = stream.splitlines(keepends=True) or [b""]
    match dice.randrange(7):
        case 0:
            return stream[:at]
        case 1:
            return stream[:at] + bytes(dice.randrange(256) for _ in range(dice.randrange(1, 9))) + stream[at:]
        case 2:
            return stream[:at] + stream[at + dice.randrange(1, 20) :]
        case 3:
            lines.insert(dice.randrange(len(lines) + 1), dice.choice(lines))
        case 4:
            dice.shuffle(lines)
        case 5:
            lines.pop(dice.randrange(len(lines)))
        case 6:
            before, colon, after = stream[at:].partition(b": ")
            rest = after[len(after.partition(b",")[0]) :]
            return stream[:at] + before + colon + dice.choice(VALUES) + rest
    return b"".join(lines)


def outcome(stream: bytes, folder: RunFolder, dice: random.Random) -> Result:
    """Tell a job's whole output to the host side, as an engine would, and store what comes of it."""
    with folder.record(JOB.id) as recorder:
        conversation = Conversation(JOB, recorder, lambda event: None)
        while stream:
            cut = dice.randrange(1, 1 + len(stream))
            conversation.take(Output("stderr" if dice.random() < 0.02 else "stdout", stream[:cut]))
            stream = stream[cut:]
        conversation.close()
    failure = conversation.failure(Exit(code=dice.choice((0, 0, 1))), stopped=None, train_samples=None, test_samples=6)
    figures, start = conversation.collector.figures(), conversation.collector.start
    result = Result(
        job=JOB, status="failed" if failure else "ok", failure=failure, start=start, figures=figures, seconds=1.0,
        provenance=PROVENANCE, began="2026-01-01T00:00:00+00:00",
    )  # fmt: skip
    folder.write_result(result)
    if folder.read_result(JOB.id) != result:
        raise AssertionError("the stored result is another one")
    return result


def fuzz(streams: int, seed: int) -> dict[str, int]:
    """Try so many spoilt streams; returns how many of them were refused and how many were not."""
    dice = random.Random(seed)  # noqa: S311
    counts = {"ok": 0, "failed": 0}
    with tempfile.TemporaryDirectory() as scratch:
        folder = RunFolder.create(Path(scratch), "fuzz")
        for _ in range(streams):
            stream = dice.choice(CORPUS)
            for _ in range(dice.randrange(4)):
                stream = spoil(stream, dice)
            try:
                counts[outcome(stream, folder, dice).status] += 1
            except Exception:
                print(json.dumps({"seed": seed, "stream": stream.decode("latin-1")}))  # noqa: T201
                raise
    return counts


if __name__ == "__main__":
    print(fuzz(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns()))  # noqa: T201
