"""Drains a job's output in a thread of its own, so that the job never waits for its reader."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Iterable, Iterator

from orchestrator.engines.base import TICK, Output

# A job that prints faster than the host reads is slowed down rather than buffered without end.
MAX_WAITING = 512  # chunks; a chunk is at most a few dozen KiB


class _End:
    """Follows the last chunk."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class Pump:
    """Copies `source` into a bounded queue until it ends, and stamps each chunk with time.monotonic() as it comes."""

    def __init__(self, source: Iterable[Output]) -> None:
        self._queue: queue.Queue[Output | _End] = queue.Queue(MAX_WAITING)
        self._relaxed = threading.Event()
        self._thread = threading.Thread(target=self._drain, args=(source,), daemon=True)
        self._thread.start()

    def outputs(self) -> Iterator[Output | None]:
        """Yield what arrives, and None after every TICK seconds of silence; ends with the source.

        An exception of the source is raised here. After an interruption, another iterator may read the rest.
        """
        while True:
            try:
                item = self._queue.get(timeout=TICK)
            except queue.Empty:
                yield None
                continue
            if isinstance(item, _End):
                self._queue.put(item)  # there is room: nothing follows it
                if item.error is not None:
                    raise item.error
                return
            yield item

    def relax(self) -> None:
        """From now on drop what waits when the queue is full.

        For a job that is being stopped: Docker does not end a container while its output is not read.
        """
        self._relaxed.set()

    def join(self, timeout: float) -> None:
        """Wait until the source has ended, at most `timeout` seconds."""
        self._thread.join(timeout)

    def _drain(self, source: Iterable[Output]) -> None:
        try:
            for output in source:
                self._put(output._replace(at=time.monotonic()))
        except BaseException as error:  # noqa: BLE001  (handed over to the reading thread, which raises it)
            self._put(_End(error))
        else:
            self._put(_End(None))

    def _put(self, item: Output | _End) -> None:
        while True:
            try:
                self._queue.put(item, timeout=0.1)
            except queue.Full:
                if self._relaxed.is_set():
                    with contextlib.suppress(queue.Empty):
                        while True:
                            self._queue.get_nowait()
            else:
                return
