"""The verbs about what jobs are made from: images and data."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import typer

from orchestrator.cli.options import ROOT, JsonOption
from orchestrator.errors import BuildError

images_app = typer.Typer(help="Build the images, or see which are built.", no_args_is_help=True)
data_app = typer.Typer(help="Prepare datasets, import your own copies, or see what is there.", no_args_is_help=True)


class DatasetArgument(str, Enum):
    """Datasets a person can prepare."""

    cifar10 = "cifar10"
    imdb = "imdb"


@images_app.command("build")
def images_build(
    image: Annotated[Optional[list[str]], typer.Argument(help="names; all images when none is given")] = None,
    variant: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
) -> None:
    """Build images, each from its Dockerfile and hash-locked requirements. An image that is built is left alone.

    One that cannot be built does not keep the others from it.

    \b
    Examples:
      orchestrator images build numpy
      orchestrator images build pytorch --variant cuda
    """
    from orchestrator.cli.screen import Screen
    from orchestrator.engines.docker import images
    from orchestrator.plan import catalog

    screen = Screen()
    chosen = catalog.load(ROOT).select(image or ())
    failed: dict[str, BuildError] = {}
    for each in chosen:
        try:
            screen.say(f"{images.build(each, variant)} is built")
        except BuildError as error:
            if len(chosen) == 1:
                raise
            failed[each.name] = error
            screen.warn(error.message)
    if failed:
        told = f"{len(failed)} of {len(chosen)} images could not be built: {', '.join(failed)}"
        raise BuildError(told, hint=next(iter(failed.values())).hint)


@images_app.command("ls")
def images_ls(
    image: Annotated[Optional[list[str]], typer.Argument(help="names; all images when none is given")] = None,
    json: JsonOption = False,
) -> None:
    """Show every image, its variants, and what is built.

    \b
    Examples:
      orchestrator images ls
      orchestrator images ls numpy --json
    """
    from orchestrator.cli import listing
    from orchestrator.cli.screen import Screen
    from orchestrator.plan import catalog

    images = listing.images(catalog.load(ROOT).select(image or ()))
    if json:
        Screen().print_json(images)
    else:
        Screen().show_rows("Images", images)


@data_app.command("prepare")
def data_prepare(
    name: Annotated[Optional[list[DatasetArgument]], typer.Argument(help="both when none is given")] = None,
    synthetic: Annotated[bool, typer.Option("--synthetic", help="make the stand-in instead of downloading")] = False,
) -> None:
    """Download the official datasets, verify their checksums and prepare them.

    \b
    Examples:
      orchestrator data prepare
      orchestrator data prepare cifar10 --synthetic
    """
    from orchestrator import files
    from orchestrator.cli.screen import Screen
    from orchestrator.inputs import data_sources

    screen = Screen()
    for each in name or DatasetArgument:
        prepared = data_sources.resolve(
            each.value,
            "synthetic" if synthetic else "official",
            cache=files.default_cache(),
        )
        screen.say(f"{prepared.label} is in {screen.shorten(prepared.folder)}")


@data_app.command("import")
def data_import(
    name: Annotated[DatasetArgument, typer.Argument()],
    folder: Annotated[Path, typer.Argument(help="holds x_train.npy, y_train.npy, x_test.npy and y_test.npy")],
) -> None:
    """Use arrays you prepared yourself. Results made from them are labelled "imported".

    \b
    cifar10: x uint8 (n, 3, 32, 32), y integer 0 to 9. imdb: x int32 (n, 150) token ids, y integer 0 or 1.

    \b
    Example:
      orchestrator data import cifar10 ~/my-cifar10
    """
    from orchestrator import files
    from orchestrator.cli.screen import Screen
    from orchestrator.inputs import data_sources

    screen = Screen()
    prepared = data_sources.import_(name.value, folder, cache=files.default_cache())
    screen.say(f"{prepared.label} is in {screen.shorten(prepared.folder)}")


@data_app.command("ls")
def data_ls(json: JsonOption = False) -> None:
    """Show the datasets that are ready.

    \b
    Examples:
      orchestrator data ls
      orchestrator data ls --json
    """
    from orchestrator import files
    from orchestrator.cli import listing
    from orchestrator.cli.screen import Screen

    found = listing.datasets(files.default_cache())
    if json:
        Screen().print_json(found)
    elif found:
        Screen().show_rows("Datasets", found)
    else:
        Screen().say("no dataset is prepared yet: `orchestrator data prepare`")
