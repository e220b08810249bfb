"""The datasets: one definition per file of this folder. Adding a dataset adds a file; nothing else lists them."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from orchestrator.errors import DataError

if TYPE_CHECKING:
    from orchestrator.inputs.dataset import Definition, LabelledDataset

NAMES = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def definition(name: str) -> Definition:
    """The dataset called `name`. Raises DataError."""
    if name not in NAMES:
        raise DataError(f"there is no dataset called {name!r:.100}", hint=f"There are: {', '.join(labelled_names())}.")
    found: Definition = importlib.import_module(f"{__name__}.{name}").DATASET
    return found


def labelled(name: str) -> LabelledDataset:
    """The labelled dataset called `name`. Raises DataError."""
    from orchestrator.inputs.dataset import LabelledDataset

    if name in NAMES and isinstance(found := definition(name), LabelledDataset):
        return found
    raise DataError(f"there is no dataset called {name!r:.100}", hint=f"There are: {', '.join(labelled_names())}.")


def labelled_names() -> list[str]:
    """The datasets that can be prepared or imported."""
    from orchestrator.inputs.dataset import LabelledDataset

    return [name for name in NAMES if isinstance(definition(name), LabelledDataset)]
