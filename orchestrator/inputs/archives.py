"""Reading official archives: bounded, never unpacked to disk, and only after their checksum matched."""

from __future__ import annotations

import contextlib
import tarfile
from typing import TYPE_CHECKING

from orchestrator.errors import DataError
from orchestrator.files import sha256_of
from orchestrator.inputs.layouts.bounds import LARGEST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orchestrator.inputs.dataset import Archive


def members(path: Path, names: set[str], size: int, largest: int = LARGEST) -> dict[str, bytes]:
    """Read the regular members called `names`, each of exactly `size` bytes; nothing is written anywhere.

    The archive may unpack to `largest` bytes.
    """
    found: dict[str, bytes] = {}
    passed = 0
    with tarfile.open(path, "r|gz") as archive:
        for member in archive:
            passed += member.size
            if passed > largest:
                raise ValueError(f"it unpacks to more than {largest:,} bytes")
            if member.name not in names:
                continue
            if not member.isreg() or member.size != size or member.name in found:
                raise ValueError(f"{member.name} is not one file of {size:,} bytes")
            stream = archive.extractfile(member)
            found[member.name] = stream.read() if stream else b""
    if missing := sorted(names - found.keys()):
        raise ValueError(f"{missing[0]} is missing")
    return found


def difference(path: Path, archive: Archive) -> str:
    """Say how the file at `path` differs from the official archive; "" when it does not. Raises OSError."""
    found = sha256_of(path)
    if found == archive.sha256:
        return ""
    return (
        f"it has {path.stat().st_size:,} bytes and the SHA-256 {found}; "
        f"{archive.file} has {archive.size:,} bytes and the SHA-256 {archive.sha256}"
    )


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn every error that a broken archive causes in a parser into one error."""
    try:
        yield
    except Exception as error:
        raise DataError(f"{path} cannot be read: {error}", hint=f"Delete {path}; it is downloaded again.") from error
