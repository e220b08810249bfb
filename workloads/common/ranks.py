"""The ranks of a training that computes equal parts of every batch at the same time, where each rank is a process.

The process that the engine started is rank 0. It starts the others, as the same program, and reads their event streams;
only its own goes to the host. The variables are those of PyTorch's launcher, torchrun.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading

from workloads.common.events import Events

RANK, RANKS = "RANK", "WORLD_SIZE"
MEETING = "BENCH_MEETING"  # a file through which the ranks of a job find each other; it does not exist at first
PATIENCE = 5.0  # seconds for a rank that failed to say why


def own():
    """The number of this process among the ranks: 0, 1, …"""
    return int(os.environ.get(RANK, "0"))


class ErrorsOnly(Events):
    """The event stream of a rank other than 0: whether it ended well, or why not."""

    def emit(self, event, **fields):
        if event in ("error", "end"):
            super().emit(event, **fields)

    def emit_parts(self, data):
        pass


class Others:
    """Ranks 1, 2, … of a job, while rank 0 runs. Does nothing where there are none."""

    def __init__(self, ranks, events):
        self._events = events
        self._first = threading.Lock()  # held by the first that tells of a failure
        self._processes = []
        if ranks > 1:
            os.environ[RANKS] = str(ranks)
            os.environ[MEETING] = os.path.join(tempfile.mkdtemp(), "ranks")
        program = [sys.executable, "-m", sys.modules["__main__"].__spec__.name, *sys.argv[1:]] if ranks > 1 else []
        for rank in range(1, ranks):
            environment = dict(os.environ, **{RANK: str(rank)})
            self._processes.append(subprocess.Popen(program, env=environment, stdout=subprocess.PIPE))
        self._threads = [
            threading.Thread(target=self._listen, args=(rank, process), daemon=True)
            for rank, process in enumerate(self._processes, start=1)
        ]
        for thread in self._threads:
            thread.start()

    def join(self, timeout=None):
        """Wait until the others have ended. When one has failed, say so in place of rank 0 and end this process."""
        for thread in self._threads:
            thread.join(timeout)

    def end(self):
        """End the others, because rank 0 has failed; unless one of them did before, and so is the cause."""
        self.join(PATIENCE / max(1, len(self._threads)))
        self._first.acquire()
        for process in self._processes:
            process.kill()

    def _listen(self, rank, process):
        last = {}
        for line in process.stdout:
            last = json.loads(line.decode())
        code = process.wait()
        if last.get("event") == "end" or not self._first.acquire(blocking=False):
            return
        message = "rank {}: {}".format(rank, last.get("message", "it ended with exit code {}".format(code)))
        kind, name = last.get("kind", "exception"), last.get("type", "RuntimeError")
        self._events.emit("error", kind=kind, type=name, message=message)
        os._exit(1)
