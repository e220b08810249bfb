"""Shared by all verbs that run jobs: log file, crash report, progress, and the command that continues a run."""

from __future__ import annotations

import contextlib
import logging
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import typer

from orchestrator import __version__, leases
from orchestrator.cli import crash, logs
from orchestrator.cli.progress import LiveListener
from orchestrator.cli.screen import Screen
from orchestrator.cli.streams import print_error
from orchestrator.errors import EXIT_INTERRUPTED
from orchestrator.record import run_folder
from orchestrator.record.run_folder import RunFolder
from orchestrator.run.preparation import PreparedRun

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def kept_in(folder: RunFolder, cache: Path) -> Iterator[None]:
    """Write the log and, after an unexpected exception, the crash report into the run's folder.

    It is kept from other programs meanwhile, and so is what the jobs need in `cache`. Raises StoreError when another
    program runs jobs into the folder now.
    """
    with folder.held(), leases.shared(cache), crash.reported_in(folder.path), logs.in_folder(folder.path):
        _log.debug("version %s: %s", __version__, shlex.join(["rosetta", *sys.argv[1:]]))
        try:
            yield
        except BaseException as error:
            _log.debug("ends with %r", error)
            raise


@contextlib.contextmanager
def progress(screen: Screen, folder: Path, prepared: PreparedRun, *, go_on: str) -> Iterator[LiveListener]:
    """Show how a run goes. When it is interrupted, print the command `go_on`, which continues it."""
    screen.show_start(folder, prepared)
    try:
        with screen.live(log=folder / run_folder.LOG_FILE) as listener:
            yield listener
    except KeyboardInterrupt:
        print_error(f"\ninterrupted; go on with: {go_on}", "yellow")
        raise typer.Exit(EXIT_INTERRUPTED) from None
