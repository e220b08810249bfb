"""The data of a run, kept as they were when the run began."""

from __future__ import annotations

import contextlib
import os
import shutil
from functools import partial
from typing import TYPE_CHECKING

from orchestrator.errors import DataError
from orchestrator.files import REFUSED, cache_error, make_readable, temporary_name
from orchestrator.inputs.dataset_folder import MANIFEST, damaged, describe, find

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.inputs.dataset_folder import Dataset


def freeze(dataset: Dataset, cache: Path) -> Dataset:
    """The same dataset in a folder of its own, which importing or preparing other data does not change.

    <cache>/frozen/<fingerprint>/ holds hard links to the files, or copies where the file system has no links. In a
    cache that this user cannot write the dataset is used where it is. Raises DataError when it is changed meanwhile.
    """
    folder = cache / "frozen" / dataset.fingerprint / dataset.folder.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        source = os.open(dataset.folder, os.O_RDONLY)  # the folder as it is now, also when it is replaced meanwhile
    except OSError:
        return dataset
    try:
        copied = [file for file in (*dataset.files, MANIFEST) if not _link(source, file, folder)]
    except FileNotFoundError as error:
        raise damaged(dataset.folder / str(error.filename), "was replaced while the run began") from error
    except OSError as error:
        if error.errno in REFUSED:
            return dataset
        raise cache_error(DataError, folder, error) from error
    finally:
        os.close(source)
    frozen = find(folder) if copied else describe(folder)
    if frozen is None or frozen.fingerprint != dataset.fingerprint:
        raise damaged(dataset.folder / MANIFEST, "was replaced while the run began")
    return frozen


def _link(source: int, file: str, folder: Path) -> bool:
    """Make `folder` hold `file` of the open folder `source`. Returns False where it was copied. Raises OSError."""
    wanted, path = os.stat(file, dir_fd=source), folder / file
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(wanted, path.lstat()):
            return True
    temporary = temporary_name(path)
    linked = True
    try:
        try:
            os.link(file, temporary, src_dir_fd=source)
        except FileNotFoundError:
            raise
        except OSError:  # no links here, or not to the file of another user
            linked = False
            with open(file, "rb", opener=partial(os.open, dir_fd=source)) as stream, temporary.open("xb") as copy:
                shutil.copyfileobj(stream, copy)
        make_readable(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return linked
