"""Runs a command and logs its output line by line, as it comes."""

from __future__ import annotations

import logging
import shlex
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

_log = logging.getLogger(__name__)

_KEPT_LINES = 400  # enough to explain a failed build
_STOP_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A command that has ended."""

    status: int  # its exit status
    lines: tuple[str, ...]  # the last lines that it printed


def run_logged(argv: Sequence[str], environ: Mapping[str, str], hear: Callable[[str], None]) -> Finished:
    """Run a command until it ends; log the command and every line it prints, at level INFO. `hear` gets the lines, too.

    Any exception, such as KeyboardInterrupt, also stops the command.
    """
    _log.info("$ %s", shlex.join(argv))
    lines: deque[str] = deque(maxlen=_KEPT_LINES)
    # In its own session: Ctrl-C then reaches this program alone, which stops the command in an orderly way.
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environ,
        start_new_session=True,
    ) as child:
        try:
            for raw in child.stdout or ():
                lines.append(raw.decode(errors="replace").rstrip())
                _log.info("%s", lines[-1])
                hear(lines[-1])
            return Finished(status=child.wait(), lines=tuple(lines))
        finally:
            _stop(child)


def _stop(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
