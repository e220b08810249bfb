"""Prepared datasets on disk: one folder each, never half made, and checked whenever it is used.

    <cache>/datasets/cifar10-official/
        x_train.npy y_train.npy x_test.npy y_test.npy
        dataset.json      what this is, where it came from; size, type, shape and SHA-256 of each array

A folder's name begins with the dataset and its source, so that it can be identified even when its description is lost.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from orchestrator import leases
from orchestrator.errors import DataError
from orchestrator.files import atomic_folder, cache_error, make_readable, remove_leftovers
from orchestrator.inputs import datasets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from orchestrator.inputs.dataset import Parts

DatasetSource = Literal["official", "imported", "synthetic"]

SCHEMA = 1

MANIFEST = "dataset.json"
_MANIFEST_BYTES = 100_000  # no description of ours is larger; a cut one is no JSON


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A dataset that is ready to be mounted.

    `files` maps the names in workloads ('x_train.npy') to paths in `folder`, `shapes` the same names to the
    arrays' shapes. `fingerprint` is a SHA-256 over names, types, shapes and contents: equal data, equal fingerprint.
    """

    name: str
    source: DatasetSource
    origin: str  # where it came from, in words
    folder: Path
    files: Mapping[str, Path]
    shapes: Mapping[str, tuple[int, ...]]
    fingerprint: str
    layout: str = ""  # of the copy that was imported
    notes: tuple[str, ...] = ()  # what a user should know of it

    @property
    def label(self) -> str:
        """How tables name it."""
        return datasets.definition(self.name).label(self.name, self.source)


@dataclass(frozen=True, kw_only=True)
class ArrayFile:
    """One array, as dataset.json describes it."""

    size: int  # bytes of the file
    dtype: str  # NumPy's, with the byte order: "<i4"
    shape: tuple[int, ...]
    sha256: str  # of the array's bytes in C order; the header before them does not count


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The content of dataset.json."""

    schema: int
    name: str
    source: DatasetSource
    origin: str
    fingerprint: str
    files: dict[str, ArrayFile]
    layout: str = ""  # earlier versions did not store these two
    notes: tuple[str, ...] = ()


def folder_of(cache: Path, name: str, source: str, variant: str = "") -> Path:
    """Return where a prepared dataset lies, be it there or not."""
    return cache / "datasets" / "-".join(filter(None, (name, source, variant)))


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Let one process at a time make `folder`; others wait here. Raises DataError when it cannot be written."""
    with leases.awaited(folder.with_name(f".{folder.name}.lock"), f"the data in {folder}", error=DataError):
        try:
            remove_leftovers(folder)
            yield
        except OSError as error:
            raise cache_error(DataError, folder, error) from error


def describe(folder: Path) -> Dataset:
    """Return the dataset in `folder` by its description; presence and sizes of the files are checked, no contents.

    Raises DataError naming the file that is damaged.
    """
    return _prepared(folder, _manifest(folder))


def find(folder: Path) -> Dataset | None:
    """Return the dataset in `folder` with every byte checked; None when there is no such folder.

    Raises DataError naming the file that is damaged.
    """
    if not folder.exists():
        return None
    manifest = _manifest(folder)
    for file, wanted in manifest.files.items():
        _check_content(folder / file, wanted)
    return _prepared(folder, manifest)


def publish(
    folder: Path,
    *,
    name: str,
    source: DatasetSource,
    origin: str,
    arrays: Mapping[str, Parts],
    layout: str = "",
    notes: tuple[str, ...] = (),
) -> Dataset:
    """Make `folder` hold `arrays`, {file name: array}, replacing what was there. The caller holds its lock."""
    from orchestrator.inputs import npy

    with atomic_folder(folder) as temporary:
        files = {}
        for file, (dtype, shape, parts) in arrays.items():
            path = temporary / file
            sha256 = npy.write_array(path, dtype, shape, parts)
            files[file] = ArrayFile(size=path.stat().st_size, dtype=dtype, shape=shape, sha256=sha256)
        manifest = Manifest(
            schema=SCHEMA,
            name=name,
            source=source,
            origin=origin,
            fingerprint=fingerprint_of(files),
            files=files,
            layout=layout,
            notes=notes,
        )
        (temporary / MANIFEST).write_text(json.dumps(asdict(manifest), indent=1) + "\n", encoding="utf-8")
        for path in temporary.iterdir():
            make_readable(path)
    return describe(folder)


def publish_labelled(
    folder: Path,
    *,
    name: str,
    source: DatasetSource,
    origin: str,
    arrays: Mapping[str, NDArray[Any]],
    layout: str = "",
    notes: tuple[str, ...] = (),
) -> Dataset:
    """Check a labelled dataset and publish it as its format stores it: raises DataError when it is not one."""
    form = datasets.labelled(name).format
    form.check(name, arrays, origin)
    stored = form.stored(arrays)
    return publish(folder, name=name, source=source, origin=origin, arrays=stored, layout=layout, notes=notes)


def _manifest(folder: Path) -> Manifest:
    """Read dataset.json and hold it against the folder's name and the sizes of the files."""
    from pydantic import TypeAdapter

    path = folder / MANIFEST
    try:
        with path.open("rb") as stream:
            manifest = TypeAdapter(Manifest).validate_json(stream.read(_MANIFEST_BYTES))
    except (OSError, ValueError) as error:
        raise damaged(path, "cannot be read as the description of a dataset") from error
    if manifest.name not in datasets.NAMES:
        raise damaged(path, "describes a dataset that this program does not know")
    if manifest.schema != SCHEMA:
        raise damaged(path, f"is of another version of this program (schema {manifest.schema}, not {SCHEMA})")
    named = f"{manifest.name}-{manifest.source}"
    if not f"{folder.name}-".startswith(f"{named}-") or manifest.fingerprint != fingerprint_of(manifest.files):
        raise damaged(path, "describes another dataset")
    for file, wanted in manifest.files.items():
        array = folder / file
        if array.parent != folder or array.is_symlink() or not array.is_file():
            raise damaged(array, "is missing")
        if (size := array.stat().st_size) != wanted.size:
            raise damaged(array, f"has {size:,} bytes instead of {wanted.size:,}")
    return manifest


def _check_content(path: Path, wanted: ArrayFile) -> None:
    from orchestrator.inputs import npy

    try:
        with path.open("rb") as stream:
            header = npy.read_header(stream)
        found = ArrayFile(
            size=header.offset + header.nbytes,
            dtype=header.dtype.str,
            shape=header.shape,
            sha256=npy.sha256_of_array(path, header.offset),
        )
    except (OSError, ValueError) as error:
        raise damaged(path, f"cannot be read: {error}") from error
    if found != wanted or header.fortran_order:
        raise damaged(path, "no longer holds what was written into it")


def _prepared(folder: Path, manifest: Manifest) -> Dataset:
    return Dataset(
        name=manifest.name,
        source=manifest.source,
        origin=manifest.origin,
        folder=folder,
        files=MappingProxyType({file: folder / file for file in manifest.files}),
        shapes=MappingProxyType({file: array.shape for file, array in manifest.files.items()}),
        fingerprint=manifest.fingerprint,
        layout=manifest.layout,
        notes=manifest.notes,
    )


def fingerprint_of(files: Mapping[str, ArrayFile]) -> str:
    """The fingerprint of a dataset that consists of these files."""
    facts = [[file, array.dtype, list(array.shape), array.sha256] for file, array in sorted(files.items())]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def damaged(path: Path, problem: str) -> DataError:
    """The error for a file of a prepared dataset, with the remedy."""
    folder = path.parent
    name, _, source = folder.name.partition("-")
    hint = {
        "official": f"Run `rosetta data prepare {name}` to make it again.",
        "imported": f"Import it again: `rosetta data import {name} PATH`.",
    }.get(source, f"Delete {folder}; it is made again when needed.")
    return DataError(f"{path} {problem}", hint=hint)
