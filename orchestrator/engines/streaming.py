"""Runs a command and hands over its output line by line, as it comes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence

_STOP_SECONDS = 10


def stream(argv: Sequence[str], log: Callable[[str], None], environ: Mapping[str, str]) -> int:
    """Run a command, hand every line it prints to `log` as it comes, return its exit status.

    Whatever interrupts this call stops the command too.
    """
    # A session of its own: Ctrl-C reaches this program alone, which then stops the client in an orderly way.
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environ,
        start_new_session=True,
    ) as child:
        try:
            for line in child.stdout or ():
                log(line.decode(errors="replace").rstrip())
            return child.wait()
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
