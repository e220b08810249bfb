"""Datasets: downloaded and verified, imported, or generated; always whole, checked and fingerprinted.

`resolve` turns a choice into data. `prepare`, `import_` and `synthesise` make the three kinds of a labelled dataset,
`generate` the input of an inference workload. Each result is a folder in the cache.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

from orchestrator.errors import DataError
from orchestrator.inputs import dataset_folder, datasets
from orchestrator.inputs.array_format import SPLITS
from orchestrator.inputs.dataset import GeneratedDataset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from orchestrator.inputs.dataset import Archive
    from orchestrator.inputs.dataset_folder import Dataset, DatasetSource
    from orchestrator.plan.spec import DatasetChoice

SYNTHETIC_SEED = 0  # the same stand-in for everybody: a run's seed draws weights and batches, not the data
_log = logging.getLogger(__name__)


def resolve(name: str, choice: DatasetChoice, *, cache: Path, base_url: str | None = None) -> Dataset:
    """Return the dataset `name` that `choice` asks for, every byte of it checked.

    - "official": what `prepare` returns. "imported": what `import_` took over. "synthetic": the stand-in.
    - "real": the official one if prepared, else the imported one if there is one, else what `prepare` returns.
    - "auto": as "real"; when the download fails, the stand-in, with a warning.

    Raises DataError when there is no such data, or when it is damaged; the hint is the remedy.
    """
    datasets.labelled(name)
    if choice == "synthetic":
        return synthesise(name, seed=SYNTHETIC_SEED, cache=cache)
    if choice == "official":
        return prepare(name, cache=cache, base_url=base_url)
    sources = ("imported",) if choice == "imported" else ("official", "imported")
    for source in sources:
        if found := dataset_folder.find(dataset_folder.folder_of(cache, name, source)):
            return found
    if choice == "imported":
        raise DataError(f"no {name} was imported", hint=f"Import it: `rosetta data import {name} PATH`.")
    from orchestrator.inputs.download import DownloadError

    try:
        return prepare(name, cache=cache, base_url=base_url)
    except DownloadError as error:
        if choice != "auto":
            raise
        _log.error("%s", _synthetic_warning(name, error))
    return synthesise(name, seed=SYNTHETIC_SEED, cache=cache)


def prepare(name: str, *, cache: Path, base_url: str | None = None) -> Dataset:
    """Download, verify and convert the official archive, unless that is done. A damaged folder is made again.

    `base_url` is the address of a mirror's folder. Raises DownloadError after one try, which the next call
    continues; DataError when the archive cannot be read.
    """
    from orchestrator.inputs.download import DownloadError, fetch

    archive = datasets.labelled(name).archive
    url = f"{(base_url or archive.base_url).rstrip('/')}/{archive.file}"
    path = cache / "downloads" / archive.file
    folder = dataset_folder.folder_of(cache, name, "official")
    with contextlib.suppress(DataError):  # a damaged one is made again below
        if found := dataset_folder.find(folder):
            return found
    with dataset_folder.lock(folder):
        try:
            if found := dataset_folder.find(folder):
                return found
        except DataError as error:
            _log.warning("%s; making %s again", error.message, folder)
        wrong = _wrong(path, archive)
        _log.warning("%s: preparing the official archive, %s", name, url)
        try:
            fetch(url, path, sha256=archive.sha256)
        except DownloadError as error:
            if wrong:
                raise DownloadError(f"{wrong}. {error.message}", hint=_remedy_of_wrong(name, path)) from error
            raise DownloadError(error.message, hint=_remedy(name, path)) from error
        arrays = archive.read(path)
        return dataset_folder.publish_labelled(folder, name=name, source="official", origin=url, arrays=arrays)


def import_(name: str, path: Path, *, cache: Path) -> Dataset:
    """Take over a user's copy of a dataset: any of the layouts that its definition lists.

    An official archive, by its checksum, becomes the official data. Everything else becomes the imported data, after
    checks; what a user should know of it is logged and stored. There may be fewer or more samples than in the official
    data. Earlier data of the same source are replaced. Raises DataError saying what is wrong, or what `path` is.
    """
    from orchestrator.inputs.layouts import recognition

    known = datasets.labelled(name)
    copy = recognition.recognise(name, known, path)
    _log.info("%s: reading %s (%s)", name, path, copy.layout.name)
    arrays, notes = recognition.read(name, copy)
    notes += copy.notes
    source: DatasetSource = "official" if copy.official else "imported"
    if not copy.official:
        known.format.check(name, arrays, path)
        shapes = {file: array.shape for file, array in arrays.items()}
        train, test = (known.format.count(shapes, split) for split in SPLITS)
        _log.info("%s: checking %s training and %s test samples", name, f"{train:,}", f"{test:,}")
        notes += tuple(known.format.inspect(name, arrays, path))
        if notes:
            _log.warning("%s", "\n".join((f"What to know of this copy of {name}:", *(f"- {note}" for note in notes))))
    target = dataset_folder.folder_of(cache, name, source)
    with dataset_folder.lock(target):
        return dataset_folder.publish_labelled(
            target, name=name, source=source, origin=copy.origin, arrays=arrays, layout=copy.layout.name, notes=notes
        )


def synthesise(name: str, *, seed: int, cache: Path, sizes: tuple[int, int] | None = None) -> Dataset:
    """Make the learnable stand-in of `name`, unless it is there; `sizes` are (train, test) samples."""
    known = datasets.labelled(name)
    train, test = sizes or (known.format.train, known.format.test)
    folder = dataset_folder.folder_of(cache, name, "synthetic", f"r{known.recipe}-seed{seed}-{train}x{test}")

    def make() -> Dataset:
        arrays = known.synthesise(seed, train, test)
        return dataset_folder.publish_labelled(folder, name=name, source="synthetic", origin=_made(seed), arrays=arrays)

    return _found_or(make, folder)


def generate(name: str, seed: int, settings: Mapping[str, Any], *, cache: Path) -> Dataset:
    """Make the input `name` of an inference workload with these settings, unless it is there."""
    known = datasets.definition(name)
    if not isinstance(known, GeneratedDataset):
        raise DataError(f"{name} is not generated", hint="a labelled dataset is prepared, imported or synthesised")
    folder = dataset_folder.folder_of(cache, name, "synthetic", known.variant(seed, settings))

    def make() -> Dataset:
        arrays = known.generate(seed, settings)
        return dataset_folder.publish(folder, name=name, source="synthetic", origin=_made(seed), arrays=arrays)

    return _found_or(make, folder)


def ls(cache: Path) -> list[Dataset]:
    """Return what is prepared, by name. Sizes are checked, contents only when a dataset is used.

    Raises DataError naming the file of a folder that is visibly damaged.
    """
    folders = sorted((cache / "datasets").glob("[!.]*"))
    return [dataset_folder.describe(folder) for folder in folders]


def _found_or(make: Callable[[], Dataset], folder: Path) -> Dataset:
    """The dataset in `folder`, made by one program at a time if it is not there. Reading it needs no lock."""
    if found := dataset_folder.find(folder):
        return found
    with dataset_folder.lock(folder):
        return dataset_folder.find(folder) or make()


def _made(seed: int) -> str:
    return f"made by this program, seed {seed}"


def _wrong(path: Path, archive: Archive) -> str:
    """Say what is wrong with a file that lies where the archive should; "" without one, or when it is right.

    Raises DownloadError for something that a download could not replace.
    """
    from orchestrator.inputs import archives
    from orchestrator.inputs.download import DownloadError

    if not path.exists():
        return ""
    if not path.is_file():
        raise DownloadError(f"{path} is not a file", hint=f"Remove it: the official {archive.file} goes there.")
    try:
        difference = archives.difference(path, archive)
    except OSError as error:
        raise DownloadError(
            f"{path} cannot be read: {error.strerror}", hint="Make it readable, or delete it."
        ) from error
    return f"{path} is not the official archive: {difference}" if difference else ""


def _remedy_of_wrong(name: str, archive: Path) -> str:
    return (
        f"Replace {archive} by the official file, or delete it and try again when there is a connection. If it is "
        f"another copy of the data, import it: `rosetta data import {name} {archive}`."
    )


def _remedy(name: str, archive: Path) -> str:
    return (
        f"Try `rosetta data prepare {name}` when there is a connection (it continues what was begun), put the "
        f"file at {archive} yourself, or import a copy of the data: `rosetta data import {name} PATH`."
    )


def _synthetic_warning(name: str, error: DataError) -> str:
    return (
        f"WARNING: {name} is SYNTHETIC in this run: the real data could not be downloaded.\n"
        f"  Why: {error.message}.\n"
        f"  What it means: the accuracy is that of a made-up task; never compare it with one reached on {name}.\n"
        f"  What to do: {error.hint}"
    )
