"""`rosetta images`: build the images, or show which are built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from orchestrator.cli import place
from orchestrator.cli.options import JsonOption, VerboseOption
from orchestrator.errors import BuildError, DiskError, UsageError
from orchestrator.files import cache_error, default_cache

if TYPE_CHECKING:
    from orchestrator.cli.screen import Screen
    from orchestrator.plan.catalog import Image

ImagesArgument = Annotated[
    Optional[list[str]], typer.Argument(help="names; all images when none is given", metavar="IMAGE")
]


def build(
    image: ImagesArgument = None,
    variant: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    verbose: VerboseOption = False,
) -> None:
    """Build images, each from its Dockerfile and hash-locked requirements. An image that exists is not built again.

    When one cannot be built, the others are built all the same.

    \b
    Examples:
      rosetta images build numpy
      rosetta images build pytorch --variant cuda
    """
    from orchestrator.cli.screen import Screen
    from orchestrator.plan import catalog

    chosen = catalog.load(place.current().root).select(image or ())
    _require_variant(variant, chosen if image else ())
    failed: dict[str, BuildError] = {}
    with Screen(verbose=verbose) as screen:
        for each in chosen:
            try:
                screen.print_line(f"{_build(each, variant, screen)} is built")
            except BuildError as error:
                if len(chosen) == 1:
                    raise
                failed[each.name] = error
                screen.warn(f"{error.message}\n{error.hint}")
    if failed:
        message = f"{len(failed)} of {len(chosen)} images could not be built: {', '.join(failed)}"
        raise BuildError(message, hint=next(iter(failed.values())).hint)


def _build(image: Image, variant: str, screen: Screen) -> str:
    """Build an image and show how far it is; return its tag. All output goes to a log file, which an error names."""
    from orchestrator.cli import logs
    from orchestrator.engines.docker import images
    from orchestrator.record.run_folder import LOG_FILE

    folder = default_cache() / "builds" / f"{image.name}-{variant}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cache_error(DiskError, folder, error) from error
    with logs.in_folder(folder), screen.live() as listener:
        listener.preparing(f"image {image.name} ({variant})")
        try:
            return images.build(image, variant)
        except BuildError as error:
            error.hint = f"{error.hint}. All output is in {folder / LOG_FILE}"
            raise


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
      rosetta images ls
      rosetta images ls numpy --json
    """
    from orchestrator.cli import listing
    from orchestrator.cli.screen import Screen
    from orchestrator.plan import catalog

    rows = listing.image_rows(catalog.load(place.current().root).select(image or ()))
    with Screen() as screen:
        if json:
            screen.print_json(rows)
        else:
            screen.show_rows("Images", list(map(listing.image_shown, rows)))
