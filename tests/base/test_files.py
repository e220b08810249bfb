"""orchestrator.files: a reader sees the old content or the new one, and fingerprints mean what they say."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.files import atomic_file, atomic_folder, atomic_write, remove_leftovers, sha256_of

if TYPE_CHECKING:
    from pathlib import Path


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_atomic_write_creates_the_folder_and_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.json"
    atomic_write(path, b"one")
    atomic_write(path, b"two")
    assert path.read_bytes() == b"two"
    assert names_in(path.parent) == ["file.json"]


def test_atomic_write_replaces_a_link_and_not_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"precious")
    (tmp_path / "link").symlink_to("target")
    atomic_write(tmp_path / "link", b"new")
    assert (tmp_path / "target").read_bytes() == b"precious"
    assert (tmp_path / "link").read_bytes() == b"new"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    atomic_write(path, b"old")

    def write_half() -> None:
        with atomic_file(path) as stream:
            stream.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["file"]


def test_written_files_follow_the_umask(tmp_path: Path) -> None:
    previous = os.umask(0o027)
    try:
        atomic_write(tmp_path / "file", b"")
        with atomic_folder(tmp_path / "folder"):
            pass
    finally:
        os.umask(previous)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o750


def test_atomic_folder_appears_whole_and_replaces_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "folder"
    with atomic_folder(path) as temporary:
        (temporary / "one").write_bytes(b"1")
        assert not path.exists()
    with atomic_folder(path) as temporary:
        (temporary / "two").write_bytes(b"2")
        assert names_in(path) == ["one"]
    assert names_in(path) == ["two"]
    assert names_in(path.parent) == ["folder"]


def test_a_failed_folder_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    with atomic_folder(path) as temporary:
        (temporary / "old").write_bytes(b"")

    def fill_half() -> None:
        with atomic_folder(path) as temporary:
            (temporary / "new").write_bytes(b"")
            raise ValueError("disk full")

    with pytest.raises(ValueError, match="disk full"):
        fill_half()
    assert names_in(path) == ["old"]
    assert names_in(tmp_path) == ["folder"]


def test_leftovers_of_killed_writers_are_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".folder.0a1b.tmp").mkdir()
    (tmp_path / ".folder.0a1b.tmp" / "half").write_bytes(b"x")
    (tmp_path / ".folder.2c3d.tmp").write_bytes(b"x")
    (tmp_path / ".other.0a1b.tmp").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    remove_leftovers(tmp_path / "folder")
    assert names_in(tmp_path) == [".other.0a1b.tmp", "folder"]


@given(st.binary(max_size=4096), st.integers(0, 3))
def test_sha256_of_equals_hashlib(tmp_path_factory: pytest.TempPathFactory, data: bytes, copies: int) -> None:
    path = tmp_path_factory.mktemp("sha") / "file"
    content = data * (copies * 300)  # up to 3.7 MB: more than one read
    path.write_bytes(content)
    assert sha256_of(path) == hashlib.sha256(content).hexdigest()
