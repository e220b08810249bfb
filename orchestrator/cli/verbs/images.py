"""`orchestrator images`: build the images, or show which are built."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from orchestrator.cli import place
from orchestrator.cli.options import JsonOption
from orchestrator.errors import BuildError

ImagesArgument = Annotated[
    Optional[list[str]], typer.Argument(help="names; all images when none is given", metavar="IMAGE")
]
ImagesVerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="accepted as elsewhere; the output of builds is always shown")
]


def build(
    image: ImagesArgument = None,
    variant: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    verbose: ImagesVerboseOption = False,  # noqa: ARG001  (accepted because other verbs that build have it)
) -> None:
    """Build images, each from its Dockerfile and hash-locked requirements. An image that exists is not built again.

    When one cannot be built, the others are built all the same.

    \b
    Examples:
      orchestrator images build numpy
      orchestrator images build pytorch --variant cuda
    """
    from orchestrator.cli.screen import Screen
    from orchestrator.engines.docker import images
    from orchestrator.plan import catalog

    chosen = catalog.load(place.current().root).select(image or ())
    failed: dict[str, BuildError] = {}
    with Screen(verbose=True) as screen:
        for each in chosen:
            try:
                screen.print_line(f"{images.build(each, variant)} is built")
            except BuildError as error:
                if len(chosen) == 1:
                    raise
                failed[each.name] = error
                screen.warn(error.message)
    if failed:
        message = f"{len(failed)} of {len(chosen)} images could not be built: {', '.join(failed)}"
        raise BuildError(message, hint=next(iter(failed.values())).hint)


def ls(image: ImagesArgument = None, json: JsonOption = False) -> None:
    """Show every image, its variants, and what is built.

    \b
    Examples:
      orchestrator images ls
      orchestrator images ls numpy --json
    """
    from orchestrator.cli import listing
    from orchestrator.cli.screen import Screen
    from orchestrator.plan import catalog

    rows = listing.image_rows(catalog.load(place.current().root).select(image or ()))
    with Screen() as screen:
        if json:
            screen.print_json(rows)
        else:
            screen.show_rows("Images", rows)
