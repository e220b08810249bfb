"""The files of a folder or an archive that a user names. All of it is untrusted.

A tree knows the names and sizes of its regular files. Contents are read into memory on request, and nothing is
unpacked to a disk. Links and devices inside archives, hidden files and names that lead out of the tree are left out.
Links inside a folder are followed: the folder is the user's.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import stat
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from orchestrator.files import open_regular
from orchestrator.inputs.layouts import tar_stream
from orchestrator.inputs.layouts.bounds import LARGEST, MOST_FILES

_DEPTH = 4  # levels of folders below the one that was named
_DIRECTORY = 1 << 24  # bytes of a zip archive's directory, which has about 100 for each file

Kind = Literal["folder", "tar", "zip", "file"]
_Reader = Callable[[Collection[str], int], Iterator[tuple[str, bytes]]]


@dataclass(frozen=True, kw_only=True)
class FileTree:
    """The regular files of `path`; a file that is no archive is a tree of one."""

    path: Path
    kind: Kind
    title: str  # what `path` is, for a message: "a folder", "a tar archive (gzip)"
    sizes: Mapping[str, int]  # {name relative to the tree, with slashes: bytes}
    reader: _Reader

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the name and content of these files, in the order of the tree.

        Raises ValueError when they are too large together, when one is missing, or when one has another size than
        it had; OSError when one cannot be read.
        """
        if sum(self.sizes[name] for name in names) > LARGEST:
            raise ValueError(f"the files to read in {self.path} have more than {LARGEST:,} bytes")
        missing = set(names)
        for name, data in self.reader(names, LARGEST):
            if name not in missing or len(data) != self.sizes[name]:
                raise ValueError(f"{self.at(name)} was changed, or is cut off")
            missing.remove(name)
            yield name, data
        if missing:
            raise ValueError(f"{self.at(min(missing))} was removed")

    def head(self, name: str, size: int) -> bytes:
        """Return the first `size` bytes of a file, or all of a smaller one."""
        for _, data in self.reader([name], size):
            return data[:size]
        raise ValueError(f"{self.at(name)} was removed")

    def at(self, name: str) -> str:
        """Say where a file is."""
        if self.kind == "file":
            return str(self.path)
        return str(self.path / name) if self.kind == "folder" else f"{name} in {self.path}"

    def folder_with(self, file: str) -> str | None:
        """Return the folder of the tree that has `file`: "" or a path with a slash at its end; None without any.

        Raises ValueError when there are several.
        """
        found = sorted(name[: -len(file)] for name in self.sizes if name == file or name.endswith(f"/{file}"))
        if len(found) > 1:
            raise ValueError(f"{self.path} has several copies of the data: {found[0] or './'} and {found[1]}")
        return found[0] if found else None


def open_tree(path: Path) -> FileTree:
    """Look at what `path` holds. Raises ValueError when it is neither file nor folder or is damaged, and OSError."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        reader = functools.partial(_read_folder, path)
        return FileTree(path=path, kind="folder", title="a folder", sizes=_walk(path), reader=reader)
    with open_regular(path) as stream:
        magic = stream.read(512)
        size = os.fstat(stream.fileno()).st_size
    if magic.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_tree(path)
    for start, (name, _) in tar_stream.DECOMPRESSORS.items():
        if magic.startswith(start):
            return _tar_tree(path, f" ({name})")
    if magic[257:262] == b"ustar":
        return _tar_tree(path, "")
    reader = functools.partial(_read_folder, path.parent)
    return FileTree(path=path, kind="file", title="a file", sizes={path.name: size}, reader=reader)


def _clean(name: str) -> str:
    """Return a name with single slashes; "" when it is hidden or leads out of the tree."""
    parts = PurePosixPath(name).parts
    if any(part.startswith((".", "/", "__MACOSX")) for part in parts):
        return ""
    return "/".join(parts)


def _add(sizes: dict[str, int], name: str, size: int, path: Path) -> None:
    """Note a file, unless it is to be left out."""
    if not (clean := _clean(name)):
        return
    if clean in sizes:
        raise ValueError(f"{path} holds {clean!r:.200} twice")
    sizes[clean] = size
    if len(sizes) > MOST_FILES:
        raise ValueError(f"{path} holds more than {MOST_FILES:,} files")


def _walk(folder: Path) -> dict[str, int]:
    sizes: dict[str, int] = {}
    pending: list[tuple[str, tuple[os.stat_result, ...]]] = [("", (folder.stat(),))]
    folders = 0
    while pending:
        here, above = pending.pop()
        folders += 1
        if folders > MOST_FILES:
            raise ValueError(f"{folder} holds more than {MOST_FILES:,} folders")
        with os.scandir(folder / here) as entries:
            for entry in entries:
                try:
                    facts = entry.stat()
                except OSError:  # a link to nothing
                    continue
                if stat.S_ISREG(facts.st_mode):
                    _add(sizes, here + entry.name, facts.st_size, folder)
                elif stat.S_ISDIR(facts.st_mode) and _is_below(entry.name, facts, above):
                    pending.append((f"{here}{entry.name}/", (*above, facts)))
    return sizes


def _is_below(name: str, facts: os.stat_result, above: tuple[os.stat_result, ...]) -> bool:
    """Whether a folder is looked into: it is not hidden, not too deep, and no link back to a folder above it."""
    return (
        len(above) <= _DEPTH and not name.startswith(".") and not any(os.path.samestat(facts, each) for each in above)
    )


def _read_folder(folder: Path, names: Collection[str], most: int) -> Iterator[tuple[str, bytes]]:
    for name in names:
        with open_regular(folder / name) as stream:
            yield name, stream.read(most)


def _zip_tree(path: Path) -> FileTree:
    sizes: dict[str, int] = {}
    entries: dict[str, zipfile.ZipInfo] = {}
    with _opened_zip(path) as archive:
        for member in archive.infolist():
            if not member.is_dir() and not stat.S_ISLNK(member.external_attr >> 16):
                _add(sizes, member.filename, member.file_size, path)
                entries[_clean(member.filename)] = member
    if sum(sizes.values()) > LARGEST:
        raise ValueError(f"{path} unpacks to more than {LARGEST:,} bytes")

    def read(names: Collection[str], most: int) -> Iterator[tuple[str, bytes]]:
        with _opened_zip(path) as archive:
            for name in names:
                with archive.open(entries[name]) as stream:
                    yield name, stream.read(min(most, sizes[name]))

    return FileTree(path=path, kind="zip", title="a zip archive", sizes=sizes, reader=read)


class _ZipFile(io.BufferedReader):
    """A zip archive's bytes. While the archive is opened, no read may be longer than a sensible directory."""

    opened = False

    def read(self, size: int | None = -1, /) -> bytes:
        if self.opened:
            return super().read(size)
        data = super().read(_DIRECTORY + 1 if size is None or size < 0 else min(size, _DIRECTORY + 1))
        if len(data) > _DIRECTORY:
            raise zipfile.BadZipFile(f"its directory has more than {_DIRECTORY:,} bytes")
        return data


@contextlib.contextmanager
def _opened_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive. Raises ValueError when it is damaged, or needs what zipfile cannot do, such as a password."""
    with open_regular(path) as plain, _ZipFile(io.FileIO(plain.fileno(), closefd=False)) as stream:
        try:
            with zipfile.ZipFile(stream) as archive:
                stream.opened = True
                yield archive
        except (OSError, ValueError):
            raise
        except Exception as error:  # zipfile and its decompressors raise errors of many types
            raise ValueError(f"{path} cannot be read as a zip archive: {error}") from error


def _tar_tree(path: Path, compression: str) -> FileTree:
    sizes: dict[str, int] = {}
    kind: Kind = "tar"
    try:
        for member in _tar_members(path):
            _add(sizes, member.name, member.size, path)
    except tar_stream.NoTarError:
        kind = "file"
    title = "a tar archive" if kind == "tar" else "compressed data without a tar archive inside"
    return FileTree(
        path=path, kind=kind, title=f"{title}{compression}", sizes=sizes, reader=functools.partial(_read_tar, path)
    )


def _read_tar(path: Path, names: Collection[str], most: int) -> Iterator[tuple[str, bytes]]:
    wanted = set(names)
    for member in _tar_members(path):
        if (name := _clean(member.name)) in wanted:
            yield name, member.read(min(most, member.size))


def _tar_members(path: Path) -> Iterator[tar_stream.Member]:
    with open_regular(path) as stream:
        try:
            yield from tar_stream.members(stream)
        except tar_stream.NoTarError:
            raise
        except ValueError as error:
            raise ValueError(f"{path} cannot be read as a tar archive: {error}") from error
