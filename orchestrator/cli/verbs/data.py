"""`rosetta data`: prepare datasets, import your own copies, or show what is there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from orchestrator.cli.options import JsonOption
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.plan.spec import DatasetChoice

NamesArgument = Annotated[
    Optional[list[str]], typer.Argument(help="of {datasets}; all when none is given", metavar="NAME")
]
NameArgument = Annotated[str, typer.Argument(help="one of {datasets}", metavar="NAME")]
PathArgument = Annotated[Path, typer.Argument(help="a file or a folder in one of these layouts", metavar="PATH")]
SyntheticOption = Annotated[bool, typer.Option("--synthetic", help="make the synthetic dataset instead of downloading")]


def prepare(name: NamesArgument = None, synthetic: SyntheticOption = False) -> None:
    """Download the official datasets, verify their checksums and prepare them.

    \b
    Examples:
      rosetta data prepare
      rosetta data prepare cifar10 --synthetic
    """
    from orchestrator import files, leases
    from orchestrator.cli.screen import Screen
    from orchestrator.inputs import data_sources, datasets

    chosen = name or datasets.labelled_names()
    for each in chosen:
        _require(each)
    choice: DatasetChoice = "synthetic" if synthetic else "official"
    cache = files.default_cache()
    with Screen() as screen, leases.shared(cache):
        for each in chosen:
            with screen.live() as listener:
                listener.preparing(each)
                prepared = data_sources.resolve(each, choice, cache=cache)
            screen.print_line(f"{prepared.label} is in {screen.shorten(prepared.folder)}")


def import_(name: NameArgument, path: PathArgument) -> None:
    """Use a copy of the data that you have. It is recognised, checked and labelled by where it came from.

    An official archive (by its checksum) becomes the official data. Results made from all other copies are labelled
    "imported". Nothing of an archive is run or unpacked to the disk.

    \b
    {layouts}

    \b
    Examples:
      rosetta data import cifar10 ~/cifar-10-python.tar.gz
      rosetta data import imdb ~/Downloads/aclImdb
    """
    from orchestrator import files, leases
    from orchestrator.cli.screen import Screen
    from orchestrator.inputs import data_sources

    _require(name)
    cache = files.default_cache()
    with Screen(verbose=True) as screen, leases.shared(cache):  # details tell what a long import does
        with screen.live() as listener:
            listener.preparing(name)
            prepared = data_sources.import_(name, path.expanduser(), cache=cache)
        screen.print_line(f"{prepared.label} is in {screen.shorten(prepared.folder)}")


def ls(json: JsonOption = False) -> None:
    """Show the datasets that are ready.

    \b
    Examples:
      rosetta data ls
      rosetta data ls --json
    """
    from orchestrator import files
    from orchestrator.cli import listing
    from orchestrator.cli.screen import Screen

    found = listing.dataset_rows(files.default_cache())
    with Screen() as screen:
        if json:
            screen.print_json(found)
        elif found:
            screen.show_rows(f"Datasets in {Path(found[0]['folder']).parent}/", list(map(listing.shortened, found)))
        else:
            screen.print_line("no dataset is prepared yet: `rosetta data prepare`")


def layouts() -> str:
    """The layouts that each dataset is imported from, for help."""
    import textwrap

    from orchestrator.inputs.datasets import labelled, labelled_names

    lines = []
    for name in labelled_names():
        lines.append(f"{name}:")
        for layout in labelled(name).layouts:
            lines += textwrap.wrap(layout.takes, 74, initial_indent="  - ", subsequent_indent="    ")
    return "\n".join(lines)


def _require(name: str) -> None:
    """Raise UsageError for a name that no dataset has which can be prepared or imported."""
    from orchestrator.inputs.datasets import labelled_names
    from orchestrator.plan.complaints import nearest

    known = labelled_names()
    if name not in known:
        near = nearest(name, known)
        raise UsageError(
            f"no dataset is called {name!r}" + (f"; did you mean {near!r}?" if near else ""),
            hint=f"the datasets are {', '.join(known)}",
        )
