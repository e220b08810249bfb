"""Files that the user names on the command line for what this program writes."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from orchestrator.files import temporary_name


@contextlib.contextmanager
def user_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a binary stream for a file that the user named on the command line.

    "-" is standard output. A device or a FIFO is written to directly. A link is followed. Any other file is replaced
    when the block ends, with its mode kept, and is left as it is when the block raises. Raises OSError, also when the
    folder is missing.
    """
    if is_stdout(path):
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if (descriptor := _descriptor(path)) is not None:
        with os.fdopen(os.dup(descriptor), "wb") as stream:  # opened by its name, a file would start again at 0
            yield stream
        return
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    before = target.stat() if target.exists() else None
    if before is not None and not stat.S_ISREG(before.st_mode):
        with target.open("wb") as stream:  # raises IsADirectoryError for a folder
            yield stream
        return
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"there is no folder {target.parent}", str(path))
    with _replacing(target, before) as stream:
        yield stream


def is_stdout(path: Path) -> bool:
    """Whether a path that the user gave means standard output."""
    return str(path) in {"-", "/dev/stdout"}


def _descriptor(path: Path) -> int | None:
    """The number of an open file of this process that `path` names, such as 2 for /dev/stderr."""
    if str(path) == "/dev/stderr":
        return 2
    match = re.fullmatch(r"(?:/dev/fd|/proc/self/fd)/(\d{1,9})", str(path))
    return int(match[1]) if match else None


@contextlib.contextmanager
def _replacing(target: Path, before: os.stat_result | None) -> Iterator[BinaryIO]:
    """A stream whose content becomes `target` when the block ends, with the mode and owner of the file before."""
    if before is not None and not os.access(target.parent, os.W_OK):  # no other file can be made beside it
        with target.open("wb") as stream:
            yield stream
        return
    temporary = temporary_name(target)
    try:
        with temporary.open("xb") as stream:
            if before is not None:
                os.fchmod(stream.fileno(), stat.S_IMODE(before.st_mode))
                with contextlib.suppress(OSError):  # only root can give files away
                    os.fchown(stream.fileno(), before.st_uid, before.st_gid)
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        try:
            temporary.replace(target)
        except OSError as error:
            if error.errno != errno.EBUSY:  # a file that is mounted by itself cannot be replaced, only written
                raise
            shutil.copyfile(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
