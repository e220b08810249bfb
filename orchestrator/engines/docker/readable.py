"""Whether the user of a container may read what is mounted into it.

When this program is root, a container still runs as a user without privileges. A file that a strict umask hides from
that user would fail the job with an error that names the place in the container and not the reason.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from orchestrator.engines.base import EngineError


def check(paths: Iterable[Path], *, user: int, group: int) -> None:
    """Raise EngineError naming the first file or folder, of `paths` and below, that the user may not read."""
    for path in paths:
        for found in _below(path.resolve()):
            if not _may_read(found, user, group):
                raise _unreadable(found.resolve(), path.resolve(), user)


def _unreadable(found: Path, top: Path, user: int) -> EngineError:
    place = top if found.is_relative_to(top) else found  # a link may lead elsewhere
    return EngineError(
        f"{found} cannot be read by user {user}, whom jobs run as in containers "
        f"(mode {stat.S_IMODE(found.stat().st_mode):04o})",
        hint=f"run `chmod -R a+rX {place}`; a umask such as 027 makes files that others cannot read",
    )


def _below(path: Path) -> Iterator[Path]:
    yield path
    for folder, names, files in os.walk(path):  # yields nothing for a file
        yield from (Path(folder, name) for name in (*names, *files))


def _may_read(path: Path, user: int, group: int) -> bool:
    """By the mode of a file or folder. A missing one is somebody else's error, and access lists are trusted."""
    try:
        facts = path.stat()
    except OSError:
        return True
    folder = stat.S_ISDIR(facts.st_mode)
    bits = 0o5 if folder else 0o4
    shift = 6 if facts.st_uid == user else 3 if facts.st_gid == group else 0
    return (facts.st_mode >> shift) & bits == bits or _has_access_list(path)


def _has_access_list(path: Path) -> bool:
    try:
        return "system.posix_acl_access" in os.listxattr(path)
    except (OSError, AttributeError):  # a file system without them; a system without the call
        return False
