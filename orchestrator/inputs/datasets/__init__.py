"""Datasets: downloaded and verified, imported, or generated; always whole, checked and fingerprinted.

`resolve` turns a choice into data. `prepare`, `import_` and `synthesise` make the three kinds of a labelled dataset,
`images` the input of the inference workload. Everything is a folder in a cache.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from orchestrator.errors import DataError
from orchestrator.inputs.datasets import store
from orchestrator.inputs.datasets.formats import FILES, FORMATS
from orchestrator.inputs.datasets.store import Dataset, DatasetSource, Name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from orchestrator.plan.spec import DatasetChoice

__all__ = [
    "NAMES",
    "Dataset",
    "DatasetSource",
    "Name",
    "images",
    "import_",
    "ls",
    "prepare",
    "resolve",
    "synthesise",
]

NAMES: tuple[Name, ...] = ("cifar10", "imdb")
SYNTHETIC_SEED = 0  # the same stand-in for everybody: a run's seed draws weights and batches, not the data

_IMAGE = (3, 224, 224)


def resolve(
    name: str, choice: DatasetChoice, *, cache: Path, notify: Callable[[str], None], base_url: str | None = None
) -> Dataset:
    """Return the dataset `name` that `choice` asks for, every byte of it checked.

    - "official": what `prepare` returns. "imported": what `import_` took over. "synthetic": the stand-in.
    - "real": the official one if prepared, else the imported one if there is one, else what `prepare` returns.
    - "auto": as "real"; when the download fails, the stand-in, and a warning through `notify`.

    Raises DataError when there is no such data, or when it is damaged; the hint is the remedy.
    """
    _labelled(name)
    if choice == "synthetic":
        return synthesise(name, seed=SYNTHETIC_SEED, cache=cache)
    if choice == "official":
        return prepare(name, cache=cache, notify=notify, base_url=base_url)
    sources = ("imported",) if choice == "imported" else ("official", "imported")
    for source in sources:
        if found := store.find(store.folder_of(cache, name, source)):
            return found
    if choice == "imported":
        raise DataError(f"no {name} was imported", hint=f"Import it: `orchestrator data import {name} FOLDER`.")
    from orchestrator.inputs.datasets.download import DownloadError

    try:
        return prepare(name, cache=cache, notify=notify, base_url=base_url)
    except DownloadError as error:
        if choice != "auto":
            raise
        notify(_synthetic_warning(name, error))
    return synthesise(name, seed=SYNTHETIC_SEED, cache=cache)


def prepare(name: str, *, cache: Path, notify: Callable[[str], None], base_url: str | None = None) -> Dataset:
    """Download, verify and convert the official archive, unless that is done. A damaged folder is made again.

    `base_url` is the address of a mirror's folder. Raises DownloadError after one try, which the next call
    continues; DataError when the archive cannot be read.
    """
    from orchestrator.inputs.datasets.download import DownloadError, fetch
    from orchestrator.inputs.datasets.official import ARCHIVES

    known = _labelled(name)
    archive = ARCHIVES[known]
    url = f"{(base_url or archive.base_url).rstrip('/')}/{archive.file}"
    path = cache / "downloads" / archive.file
    folder = store.folder_of(cache, name, "official")
    with store.lock(folder):
        try:
            if found := store.find(folder):
                return found
        except DataError as error:
            notify(f"{error.message}; making {folder} again")
        notify(f"{name}: preparing the official archive, {url}")
        try:
            fetch(url, path, sha256=archive.sha256)
        except DownloadError as error:
            raise DownloadError(error.message, hint=_remedy(name, path)) from error
        return store.publish_labelled(folder, name=known, source="official", origin=url, arrays=archive.read(path))


def import_(name: str, folder: Path, *, cache: Path) -> Dataset:
    """Take over arrays somebody prepared: x_train.npy, y_train.npy, x_test.npy and y_test.npy in `folder`.

    Types, sample shapes and value ranges are those of `formats.FORMATS`; there may be fewer or more samples than in
    the official data. An earlier import of `name` is replaced. Raises DataError naming the file, what was found and
    what is wanted.
    """
    from orchestrator.inputs.datasets import npy

    known = _labelled(name)
    wanted = FORMATS[known]
    arrays = {}
    for file in FILES:
        path = folder / file
        hint = f"For {name}, {wanted}."
        if not path.is_file():
            raise DataError(f"{path} is missing", hint=hint)
        try:
            arrays[file] = npy.open_array(path)
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be imported: {error}", hint=hint) from error
    origin = str(folder.resolve())
    target = store.folder_of(cache, name, "imported")
    with store.lock(target):
        return store.publish_labelled(target, name=known, source="imported", origin=origin, arrays=arrays)


def synthesise(name: str, *, seed: int, cache: Path, sizes: tuple[int, int] | None = None) -> Dataset:
    """Make the learnable stand-in of `name`, unless it is there; `sizes` are (train, test) samples. See `synthetic`."""
    from orchestrator.inputs.datasets import synthetic

    known = _labelled(name)
    wanted = FORMATS[known]
    train, test = sizes or (wanted.train, wanted.test)
    folder = store.folder_of(cache, name, "synthetic", f"r{synthetic.RECIPE}-seed{seed}-{train}x{test}")
    with store.lock(folder):
        if found := store.find(folder):
            return found
        arrays = {"cifar10": synthetic.cifar10, "imdb": synthetic.imdb}[known](seed, train, test)
        origin = f"made by this program, seed {seed}"
        return store.publish_labelled(folder, name=known, source="synthetic", origin=origin, arrays=arrays)


def images(seed: int, batches: int, batch: int, *, cache: Path) -> Dataset:
    """Make images.npy, float32 (batches, batch, 3, 224, 224) uniform in [0, 1), unless it is there.

    Fewer batches of the same size are the beginning of more. Written batch by batch: 40 of 32 images are 771 MB.
    """
    folder = store.folder_of(cache, "images", "synthetic", f"seed{seed}-{batches}x{batch}")
    with store.lock(folder):
        if found := store.find(folder):
            return found
        array = store.Parts("<f4", (batches, batch, *_IMAGE), _uniform_batches(seed, batches, batch))
        origin = f"made by this program, seed {seed}"
        return store.publish(folder, name="images", source="synthetic", origin=origin, arrays={"images.npy": array})


def ls(cache: Path) -> list[Dataset]:
    """Return what is prepared, by name. Sizes are checked, contents only when a dataset is used.

    Raises DataError naming the file of a folder that is visibly damaged.
    """
    folders = sorted((cache / "datasets").glob("[!.]*"))
    return [store.describe(folder) for folder in folders]


def _uniform_batches(seed: int, batches: int, batch: int) -> Iterator[NDArray[np.float32]]:
    from orchestrator.inputs.datasets.draws import Draws

    draws = Draws("images", seed)
    for _ in range(batches):
        yield draws.uniform32(batch * math.prod(_IMAGE)).reshape(batch, *_IMAGE)


def _labelled(name: str) -> Name:
    """Return `name` as what it is when it is a labelled dataset. Raises DataError."""
    for known in NAMES:
        if name == known:
            return known
    raise DataError(f"there is no dataset called {name!r:.100}", hint=f"There are: {', '.join(NAMES)}.")


def _remedy(name: str, archive: Path) -> str:
    return (
        f"Try `orchestrator data prepare {name}` when there is a connection (it continues what was begun), put the "
        f"file at {archive} yourself, or import a copy of the data: `orchestrator data import {name} FOLDER`."
    )


def _synthetic_warning(name: str, error: DataError) -> str:
    return (
        f"WARNING: {name} is SYNTHETIC in this run, the real data could not be had.\n"
        f"  Why: {error.message}.\n"
        f"  What it means: the accuracy is that of a made-up task; never compare it with one reached on {name}.\n"
        f"  What to do: {error.hint}"
    )
