"""`orchestrator images`: build the images, or show which are built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from orchestrator.cli import place
from orchestrator.cli.options import JsonOption
from orchestrator.errors import BuildError, UsageError

if TYPE_CHECKING:
    from orchestrator.plan.catalog import Image

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
    _require_variant(variant, chosen if image else ())
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


def _require_variant(variant: str, named: Sequence[Image]) -> None:
    """Raise UsageError for a variant that no image has, or that one of the images that were named lacks."""
    from orchestrator.plan.catalog import VARIANTS
    from orchestrator.plan.complaints import nearest

    if variant not in VARIANTS:
        found = {"gpu": "cuda"}.get(variant) or nearest(variant, VARIANTS) or VARIANTS[0]
        raise UsageError(
            f"--variant {variant[:60] or repr('')}: must be {' or '.join(VARIANTS)}", hint=f"type --variant {found}"
        )
    for each in named:
        if variant not in each.locks:
            raise UsageError(f"image {each.name} has no {variant} variant", hint=f"it has: {', '.join(each.locks)}")


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
            screen.show_rows("Images", [{**row, "size": listing.size_in_words(row["size"])} for row in rows])
