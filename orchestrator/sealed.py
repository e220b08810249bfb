"""JSON files that carry the sha256 of their content, so that a number edited by hand is noticed.

`load` is the only reader of stored documents. They may come from anybody: their size and the number of their values are
bounded, only regular files are read, and every value is checked against the model. The digest is a checksum; it does
not say who wrote a file.

The digest covers the file as it would be without the digest. A file that an editor or a formatter has laid out again
still holds the same content: it is brought back into the layout that it was written in before the digest is compared.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import pydantic_core

from orchestrator.errors import StoreError
from orchestrator.files import open_regular
from orchestrator.text import MAX_NOTE, printable

MAX_BYTES = 64 << 20
MAX_VALUES = 4_000_000  # in a file; each takes about 100 bytes of memory, and its text may have two
_END = b"\n}\n"
_SEAL = re.compile(rb',\n "sha256": "([0-9a-f]{64})"\n\}\n\Z')

Model = TypeVar("Model", bound=pydantic.BaseModel)


def dump(model: pydantic.BaseModel) -> bytes:
    """The content of a file for `model`, with its digest last. Raises ValueError for NaN and infinity."""
    content = _laid_out(model.model_dump(mode="json"))
    digest = hashlib.sha256(content).hexdigest().encode()
    return content.removesuffix(_END) + b',\n "sha256": "' + digest + b'"' + _END


def load(path: Path, model: type[Model]) -> Model:
    """Read a file that `dump` made. Raises StoreError when it cannot be read, was edited, or is something else."""
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(min(size, MAX_BYTES))  # read() allocates as many bytes as it is asked for
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}", hint="is this a run directory?") from error
    if size > MAX_BYTES:
        raise _edited(path, f"it is larger than {MAX_BYTES >> 20} MiB")
    if b'"sha256"' not in data:
        raise StoreError(f"{path}: not written by this program, or cut off: it has no sha256", hint=_remedy(path))
    if sum(data.count(mark) for mark in (b",", b"[", b"{")) > MAX_VALUES:
        raise _edited(path, f"it holds more than {MAX_VALUES:,} values")
    try:
        content = _without_digest(data)
        return _load_other_layout(model, data) if content is None else model.model_validate_json(content)
    except pydantic.ValidationError as error:
        raise _edited(path, first_problem(error)) from None
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise _edited(path, printable(str(error), MAX_NOTE)) from None


def first_problem(error: pydantic.ValidationError) -> str:
    """Where a document differs from its model, and how: short and printable, for the document is untrusted."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = printable(".".join(map(str, first["loc"])))
    return f"{where + ': ' if where else ''}{printable(first['msg'], MAX_NOTE)}"


def _without_digest(data: bytes) -> bytes | None:
    """The hashed content of a file in the layout of `dump`; None for another layout or another digest."""
    seal = _SEAL.search(data, max(0, len(data) - 100))
    if seal is None:
        return None
    content = data[: seal.start()] + _END
    return content if hashlib.sha256(content).hexdigest().encode() == seal[1] else None


def _load_other_layout(model: type[Model], data: bytes) -> Model:
    """Read a file in any layout. Raises ValueError when the digest is not that of the content."""
    content = pydantic_core.from_json(data)
    digest = content.pop("sha256", None)
    found = model.model_validate_json(pydantic_core.to_json(content))  # keeps the order of the keys
    for layout in (_sorted, _laid_out):
        if digest == hashlib.sha256(layout(content)).hexdigest():
            return found
    raise ValueError("its content does not match its sha256")


def _laid_out(content: dict[str, Any]) -> bytes:
    """The layout that is hashed today."""
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def _sorted(content: dict[str, Any]) -> bytes:
    """The layout that was hashed until November 2026."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _edited(path: Path, how: str) -> StoreError:
    return StoreError(f"{path}: not written by this program, or edited: {how}", hint=_remedy(path))


def _remedy(path: Path) -> str:
    if (path.parent / "run.json").exists():
        return "restore the file; or delete it, and `bench --resume` measures that job again"
    return "name a run, a result file (results/RUN/JOB.json) or a capsule, as it was written"
