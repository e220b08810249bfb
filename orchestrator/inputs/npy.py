"""NumPy's .npy format, written in pieces and read with suspicion.

A header is parsed and compared with the file's size before anything is allocated or mapped, and pickled objects are
never loaded.
"""

from __future__ import annotations

import hashlib
import io
import math
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray

_CHUNK = 1 << 20  # bytes hashed at a time
_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class Header(NamedTuple):
    """The header of a .npy file; `offset` is where the array's bytes begin."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran_order: bool
    offset: int

    @property
    def nbytes(self) -> int:
        """Bytes of the array: exactly what has to follow the header."""
        return self.dtype.itemsize * math.prod(self.shape)


def read_header(stream: IO[bytes]) -> Header:
    """Read the header of a .npy stream. Raises ValueError when it is none, or one of pickled objects."""
    try:
        version = np.lib.format.read_magic(stream)
        shape, fortran_order, dtype = _READERS[version](stream)
        header = Header(np.dtype(dtype), tuple(int(n) for n in shape), bool(fortran_order), stream.tell())
    except Exception as error:  # the parser evaluates hostile text, and raises whatever comes of it
        raise ValueError("it is not a NumPy array file") from error
    if header.dtype.hasobject:
        raise ValueError("it holds pickled Python objects, which are never loaded")
    if header.dtype.itemsize == 0:  # a shape of any size would fit into no bytes, and into no memory once used
        raise ValueError(f"its elements, {header.dtype}, have no size")
    if any(length < 0 for length in header.shape):
        raise ValueError(f"its shape {header.shape} is impossible")
    return header


def open_array(path: Path) -> NDArray[Any]:
    """Map the array in `path` read-only. Raises ValueError saying what is wrong with it, or OSError."""
    with path.open("rb") as stream:
        header = read_header(stream)
    order = _order(header, path.stat().st_size)
    if header.nbytes == 0:  # nothing to map
        return np.empty(header.shape, header.dtype, order=order)
    array: NDArray[Any] = np.memmap(path, header.dtype, "r", header.offset, header.shape, order)
    return array


def array_of(data: bytes) -> NDArray[Any]:
    """Return the array in the bytes of a .npy file. Raises ValueError saying what is wrong with it."""
    header = read_header(io.BytesIO(data))
    order = _order(header, len(data))
    if header.nbytes == 0:  # np.frombuffer refuses nothing
        return np.empty(header.shape, header.dtype, order=order)
    return np.frombuffer(data, header.dtype, offset=header.offset).reshape(header.shape, order=order)


def _order(header: Header, found: int) -> Literal["C", "F"]:
    """Return the order of the elements. Raises ValueError unless `found` bytes are what the header promises."""
    wanted = header.offset + header.nbytes
    if found != wanted:
        raise ValueError(f"it has {found:,} bytes where its header promises {wanted:,}")
    return "F" if header.fortran_order else "C"


def write_header(stream: IO[bytes], dtype: DTypeLike, shape: tuple[int, ...]) -> None:
    """Write the header of a C-contiguous array; its bytes follow."""
    description = np.lib.format.dtype_to_descr(np.dtype(dtype))
    np.lib.format.write_array_header_1_0(stream, {"descr": description, "fortran_order": False, "shape": shape})


def write_array(path: Path, dtype: DTypeLike, shape: tuple[int, ...], parts: Iterable[NDArray[Any]]) -> str:
    """Write the concatenation of `parts` as one array; return the SHA-256 of its bytes, the header left out."""
    digest = hashlib.sha256()
    with path.open("xb") as stream:
        write_header(stream, dtype, shape)
        for part in parts:
            data = np.ascontiguousarray(part, dtype).data.cast("B")
            digest.update(data)
            stream.write(data)
    return digest.hexdigest()


def content(dtype: DTypeLike, shape: tuple[int, ...], parts: Iterable[NDArray[Any]]) -> Iterator[bytes | memoryview]:
    """Yield a .npy file of the concatenation of `parts` piece by piece, its header first."""
    header = io.BytesIO()
    write_header(header, dtype, shape)
    yield header.getvalue()
    for part in parts:
        yield np.ascontiguousarray(part, dtype).data.cast("B")


def sha256_of_array(path: Path, offset: int) -> str:
    """Return the SHA-256 of everything in `path` from `offset` on."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        stream.seek(offset)
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
