"""Tar archives, compressed or not, read once from beginning to end in bounded memory.

Python's tarfile keeps a record of every member and reads extended headers at whatever length they claim, so a small
hostile archive fills the memory. Here only regular files matter: `tarfile` decodes single headers, links, devices
and folders are passed over, and sparse files are refused.
"""

from __future__ import annotations

import gzip
import re
import tarfile
from collections.abc import Callable, Iterator
from typing import IO, NamedTuple, Protocol

from orchestrator.inputs.layouts.bounds import LARGEST, MOST_FILES

_BLOCK = 512  # bytes: headers have one block, and contents are padded to whole ones
_CHUNK = 1 << 16  # bytes skipped at a time
_EXTENSION = 1 << 20  # bytes of an extended header; a long name has a few hundred
_WITHOUT_CONTENT = {
    tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE,
}  # fmt: skip
_FILES = {tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE}
_RECORD = re.compile(rb"(\d{1,7}) ([^=]{1,200})=")  # of a pax header, before the value


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _gzip(stream: IO[bytes]) -> _Readable:
    return gzip.GzipFile(fileobj=stream)


def _xz(stream: IO[bytes]) -> _Readable:
    import lzma  # some Pythons are built without it

    return lzma.LZMAFile(stream)


def _bzip2(stream: IO[bytes]) -> _Readable:
    import bz2

    return bz2.BZ2File(stream)


DECOMPRESSORS: dict[bytes, tuple[str, Callable[[IO[bytes]], _Readable]]] = {
    b"\x1f\x8b": ("gzip", _gzip),
    b"\xfd7zXZ\x00": ("xz", _xz),
    b"BZh": ("bzip2", _bzip2),
}


class NoTarError(ValueError):
    """The data do not begin as a tar archive does."""


class Member(NamedTuple):
    """A regular file; `read(n)` returns its first n bytes, as long as the next member was not asked for."""

    name: str
    size: int
    read: Callable[[int], bytes]


def members(stream: IO[bytes]) -> Iterator[Member]:
    """Yield the regular files in `stream`, which is decompressed by its first bytes.

    Raises NoTarError, or ValueError when the archive is damaged or unpacks to more than LARGEST bytes.
    """
    magic = stream.read(6)
    stream.seek(0)
    decompress = next((open_ for start, (_, open_) in DECOMPRESSORS.items() if magic.startswith(start)), None)
    try:
        blocks = _Blocks(decompress(stream) if decompress else stream)
    except ImportError as error:
        raise ValueError(f"this Python cannot decompress it: {error}") from error
    try:
        yield from _files(blocks)
        blocks.finish()
    except ValueError:
        raise
    except Exception as error:  # decompressors raise errors of many types
        if not blocks.begun:
            raise NoTarError(str(error)) from error
        raise ValueError(f"it is damaged or cut off after {blocks.passed:,} bytes: {error}") from error


def _files(blocks: _Blocks) -> Iterator[Member]:
    name = ""  # of the next member, where an extended header gave one
    for _ in range(2 * MOST_FILES):
        block = blocks.take(_BLOCK)
        if not any(block):
            return
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        blocks.begun = True
        if header.size < 0 or header.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.HeaderError(f"{header.name!r:.100} is a sparse file, or has an impossible size")
        size = 0 if header.type in _WITHOUT_CONTENT else header.size
        if header.type in {tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE}:
            name = _long_name(header.type, blocks.content(size, _EXTENSION)) or name
            continue
        if header.type in _FILES and not header.name.endswith("/"):
            blocks.begin(size)
            yield Member(name or header.name, size, blocks.read)
            blocks.skip()
        else:
            blocks.begin(size)
            blocks.skip()
        if header.type not in {tarfile.GNUTYPE_LONGLINK, tarfile.XGLTYPE}:
            name = ""
    raise ValueError(f"it has more than {2 * MOST_FILES:,} entries")


def _long_name(kind: bytes, content: bytes) -> str:
    """Return the name that an extended header gives to the next member; "" when it says something else.

    Raises tarfile.HeaderError for what this reader does not take: another size, or a sparse file.
    """
    if kind == tarfile.GNUTYPE_LONGNAME:
        return content.partition(b"\0")[0].decode("utf-8", "surrogateescape")
    name, position = "", 0
    while record := _RECORD.match(content, position):
        end = position + int(record[1])
        if end <= record.end() or end > len(content):
            break
        if record[2] == b"size" or record[2].startswith(b"GNU.sparse"):
            raise tarfile.HeaderError("a member is sparse, or larger than 8 GiB")
        if record[2] == b"path":
            name = content[record.end() : end - 1].decode("utf-8", "surrogateescape")
        position = end
    return name


class _Blocks:
    """The bytes of an archive as they are decompressed, counted."""

    def __init__(self, stream: _Readable) -> None:
        self._stream = stream
        self._left = 0  # bytes of the member that were not read
        self._padding = 0
        self.passed = 0
        self.begun = False  # whether there was a header

    def take(self, size: int) -> bytes:
        """Return exactly `size` bytes. Raises EOFError."""
        data = self._stream.read(size)
        self._count(data)
        if len(data) != size:
            raise EOFError("the end is missing")
        return data

    def begin(self, size: int) -> None:
        """A member of `size` bytes follows."""
        self._left, self._padding = size, -size % _BLOCK

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes of the member."""
        if self.passed + min(size, self._left) > LARGEST:  # before memory is given to them
            raise ValueError(f"it unpacks to more than {LARGEST:,} bytes")
        data = self.take(min(size, self._left))
        self._left -= len(data)
        return data

    def skip(self) -> None:
        """Go to the end of the member."""
        left = self._left + self._padding
        while left:
            left -= len(self.take(min(left, _CHUNK)))

    def content(self, size: int, largest: int) -> bytes:
        """Return a whole member of at most `largest` bytes."""
        if size > largest:
            raise tarfile.HeaderError(f"an extended header has {size:,} bytes")
        self.begin(size)
        data = self.read(size)
        self.skip()
        return data

    def finish(self) -> None:
        """Read to the end, where gzip and xz check their sums. Raises EOFError when there is more than padding."""
        while data := self._stream.read(_CHUNK):
            self._count(data)
            if data.strip(b"\0"):
                raise EOFError("there is more after its end")

    def _count(self, data: bytes) -> None:
        self.passed += len(data)
        if self.passed > LARGEST:
            raise ValueError(f"it unpacks to more than {LARGEST:,} bytes")
