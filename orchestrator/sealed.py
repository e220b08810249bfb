"""Files that carry the sha256 of their content: numbers that somebody corrected by hand must not look measured.

The digest is that of the file as it would be without it, so whoever reads one as it was written hashes its bytes and
parses them once. A file that was laid out anew since, by an editor or a formatter, still holds the same numbers: it is
put back into the form it was written in before it is judged.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import pydantic_core

from orchestrator.errors import StoreError

MAX_BYTES = 64 << 20
_END = b"\n}\n"
_SEAL = re.compile(rb',\n "sha256": "([0-9a-f]{64})"\n\}\n\Z')
_SORTED = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)

Model = TypeVar("Model", bound=pydantic.BaseModel)


def sealed(model: pydantic.BaseModel) -> bytes:
    """The model as a file, its digest last. Raises ValueError for a number that is not finite."""
    content = _laid_out(model.model_dump(mode="json"))
    digest = hashlib.sha256(content).hexdigest().encode()
    return content.removesuffix(_END) + b',\n "sha256": "' + digest + b'"' + _END


def read(path: Path, model: type[Model], *, common: str | None = None) -> Model:
    """A file that `sealed` made. Raises StoreError when it cannot be read, or holds anything else.

    `common` names a model in it that many such files have in common, byte for byte: that is parsed once and held once.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(min(size, MAX_BYTES))  # asking for more than there is costs as if it were there
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}", hint="is this a run directory?") from error
    if size > MAX_BYTES:
        raise _edited(path, f"it is larger than {MAX_BYTES >> 20} MiB")
    try:
        content = _unsealed(data)
        return _restored(model, data) if content is None else _parsed(model, content, common)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise _edited(path, f"{where + ': ' if where else ''}{first['msg']}") from None
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise _edited(path, str(error)[:200]) from None


def _laid_out(content: dict[str, Any]) -> bytes:
    """The one way to write this content."""
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def _sorted(content: dict[str, Any]) -> bytes:
    """The way to write it that files of earlier versions have the digest of."""
    return _SORTED.encode(content).encode()


def _unsealed(data: bytes) -> bytes | None:
    """The content of a file that is as it was written; None of any other."""
    seal = _SEAL.search(data, max(0, len(data) - 100))
    if seal is None:
        return None
    content = data[: seal.start()] + _END
    return content if hashlib.sha256(content).hexdigest().encode() == seal[1] else None


def _restored(model: type[Model], data: bytes) -> Model:
    """A file that was laid out anew since it was written, as a model. Raises ValueError when its content is another."""
    content = pydantic_core.from_json(data)
    digest = content.pop("sha256", None)
    found = model.model_validate_json(pydantic_core.to_json(content))  # in the file's own order of keys
    for content_as_hashed in (_sorted, _laid_out):  # what was hashed until November 2026 first: it is the cheaper one
        if digest == hashlib.sha256(content_as_hashed(content)).hexdigest():
            return found
    raise ValueError("its content does not match its sha256")


def _parsed(model: type[Model], content: bytes, common: str | None) -> Model:
    """The content as a model. It has the layout of `_laid_out`: lines begin with one space only at the top level."""
    if common is None:
        return model.model_validate_json(content)
    begin = content.find(f',\n "{common}": {{\n'.encode())
    end = content.find(b"\n }", begin) + len(b"\n }")
    if begin < 0:
        return model.model_validate_json(content)
    others = _without(model, common).model_validate_json(content[:begin] + content[end:])
    value = _once(model, common, content[begin + len(f',\n "{common}": ') : end])
    return model.model_validate({**others.__dict__, common: value})


@functools.cache
def _without(model: type[pydantic.BaseModel], name: str) -> type[pydantic.BaseModel]:
    """The model with all its fields but this one."""
    fields: Any = {key: (field.annotation, field) for key, field in model.model_fields.items() if key != name}
    return pydantic.create_model(f"{model.__name__}Without{name}", __config__=model.model_config, **fields)


@functools.lru_cache(maxsize=256)
def _once(model: type[pydantic.BaseModel], name: str, value: bytes) -> Any:
    annotation: Any = model.model_fields[name].annotation
    return pydantic.TypeAdapter(annotation).validate_json(value)


def _edited(path: Path, how: str) -> StoreError:
    return StoreError(
        f"{path}: not written by this program, or edited: {how}",
        hint="restore the file; or delete it, and `bench --resume` measures that job again",
    )
