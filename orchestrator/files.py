"""Atomic writes, fingerprints of files, and the location of the cache.

Every file that another process may read is written beside its final name and then renamed. So a reader sees the old
content or the new one, even if the writer is killed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from orchestrator.errors import HostError, OrchestratorError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Kind = TypeVar("Kind", bound=OrchestratorError)

READ_ONLY = 0o444  # of files that jobs read: the user of a container is another one, who could not read them otherwise
REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})  # what writing fails with where this user may not
CLEAN = "`rosetta clean --all` shows what the cache holds, and asks"
OTHER_DISK = "name a cache on another disk in ROSETTA_CACHE"
_CHUNK = 1 << 20  # bytes read at a time


def current_folder() -> Path:
    """The current folder; the root of the file system if it was removed."""
    try:
        return Path.cwd()
    except OSError:
        return Path("/")


def default_cache(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder for datasets, weights, environments and locks: ROSETTA_CACHE, or the user's cache folder.

    Raises HostError when the user has no home folder.
    """
    from platformdirs import user_cache_path

    try:
        return Path(environ.get("ROSETTA_CACHE") or user_cache_path("rosetta")).expanduser().resolve()
    except (RuntimeError, OSError) as error:  # what pathlib and platformdirs raise without a home folder
        named = environ.get("ROSETTA_CACHE")
        why = f"ROSETTA_CACHE={named} is no folder: {error}" if named else "this user has no home folder for a cache"
        raise HostError(why, hint="name a folder in ROSETTA_CACHE, as an absolute path") from error


def cache_error(kind: type[Kind], path: Path, error: OSError) -> Kind:
    """The error of this kind for `path` in the cache, which cannot be written: why, and what to do about it."""
    place = next((each for each in (path, *path.parents) if os.path.lexists(each) and each.is_dir()), path)
    what = f"{path} cannot be written: {error.strerror or error}"
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        hint = f"free some space in {place}, which has {free_words(place)} left ({CLEAN}), or {OTHER_DISK}"
    elif error.errno in REFUSED:
        what = f"{what} ({place} belongs to {_owner(place)})"
        hint = f"name {'a cache of your own' if error.errno != errno.EROFS else 'another cache'} in ROSETTA_CACHE"
    else:
        hint = f"look at {place}, or name another cache in ROSETTA_CACHE"
    return kind(what, hint=hint)


def free_bytes(folder: Path) -> int | None:
    """Free space on the disk of a folder that may not exist yet, in bytes; None when it cannot be found out."""
    for place in (folder, *folder.parents):
        try:
            return shutil.disk_usage(place).free
        except OSError:
            continue
    return None


def free_words(folder: Path) -> str:
    """The same in words."""
    free = free_bytes(folder)
    return "little" if free is None else f"{free / 1e9:.1f} GB"


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except (KeyError, OSError, NotImplementedError):  # a user without an entry in the list of users
        return f"user {path.lstat().st_uid}" if os.path.lexists(path) else "another user"


def atomic_write(path: Path, data: bytes, *, mode: int | None = None) -> None:
    """Write `data` to `path`, and create its folder if it is missing. Without `mode` the umask decides who may read it.

    Raises OSError; `path` is then unchanged.
    """
    with atomic_file(path) as stream:
        stream.write(data)
        if mode is not None:
            os.fchmod(stream.fileno(), mode)


def make_readable(path: Path) -> None:
    """Let every user read a file, and none change it. A file that this user cannot change keeps its modes."""
    if stat.S_IMODE(path.stat().st_mode) == READ_ONLY:
        return
    try:
        path.chmod(READ_ONLY)
    except OSError as error:
        if error.errno not in REFUSED:
            raise


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a binary stream. Its content becomes `path` when the block ends, and is removed when the block raises."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    try:
        # Not tempfile: the umask of the user decides who may read the file, and a container's user may have to.
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder. It becomes `path` when the block ends, and is removed when the block raises.

    An existing `path` is replaced as a whole. It is moved aside first, because no portable call swaps two folders:
    for a moment a reader may find no folder, but never a mixture. Two writers of the same `path` need a lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    temporary.mkdir()
    try:
        yield temporary
        _sync_tree(temporary)
        if path.exists():
            aside = temporary_name(path)
            path.rename(aside)
            temporary.rename(path)
            shutil.rmtree(aside)
        else:
            temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync_folder(path.parent)


def remove_leftovers(path: Path) -> None:
    """Delete the temporary files of killed writers of `path`. Call it only while holding the lock of `path`."""
    for leftover in path.parent.glob(f".{path.name}.*.tmp"):
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def remove_tree(path: Path) -> None:
    """Delete an untrusted file or folder: links are not followed, and any depth and any modes are handled.

    Raises OSError if something is left.
    """
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    # Not shutil.rmtree: its recursion fails on a tree that is a thousand levels deep.
    subprocess.run(["chmod", "-R", "u+rwx", "--", str(path)], capture_output=True, check=False)
    done = subprocess.run(["rm", "-rf", "--", str(path)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(errno.EACCES, done.stderr.strip()[:200] or "cannot be removed", str(path))


def is_file(path: Path) -> bool:
    """Whether this is a file. False for a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Whether this is a folder. False for a name that no folder can have."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def open_regular(path: Path) -> BinaryIO:
    """Open a file that another program may have put there, for reading.

    Raises OSError, also for what is no regular file: reading a FIFO or a device may never end.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO would wait for a writer
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def irregular(folder: Path) -> list[str]:
    """The names of what is neither a file nor a folder in `folder`: links, FIFOs, devices. Raises OSError."""
    with os.scandir(folder) as entries:
        others = (each for each in entries if not each.is_file(follow_symlinks=False))
        return [each.name for each in others if not each.is_dir(follow_symlinks=False)]


def identity(path: Path) -> tuple[int, ...]:
    """Changes with every change of a file's content, and with some others, such as a new link to it. Raises OSError."""
    facts = path.stat()
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content as 64 hex digits. Raises OSError."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_CHUNK))
    with path.open("rb", buffering=0) as stream:
        while count := stream.readinto(buffer):
            digest.update(buffer[:count])
    return digest.hexdigest()


def temporary_name(path: Path) -> Path:
    """A new name beside `path`, which `remove_leftovers` recognises."""
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")


def _sync_tree(folder: Path) -> None:
    for parent, _, names in os.walk(folder):
        for name in names:
            with Path(parent, name).open("rb") as stream:
                os.fsync(stream.fileno())
        _sync_folder(Path(parent))


def _sync_folder(folder: Path) -> None:
    """Flush a rename in `folder` to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
