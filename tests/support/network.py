"""A network with nothing in it: Ray listens on all interfaces, and only this machine's tests may reach it."""

import contextlib
import ctypes
import fcntl
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
NAMESPACE = Path("/proc/thread-self/ns/net")


class NoNetworkError(Exception):
    """This machine gives us no network of our own, which takes root on Linux."""


@contextlib.contextmanager
def loopback_only() -> Iterator[None]:
    """This thread, and all processes and threads it starts, see the loopback interface only."""
    if not NAMESPACE.exists():
        raise NoNetworkError
    libc = ctypes.CDLL(None, use_errno=True)
    with NAMESPACE.open() as before:
        if libc.unshare(CLONE_NEWNET):
            raise NoNetworkError
        with socket.socket() as anything:
            fcntl.ioctl(anything, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))
        try:
            yield
        finally:
            libc.setns(before.fileno(), CLONE_NEWNET)
