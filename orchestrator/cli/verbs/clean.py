"""`rosetta clean`: remove what killed runs left behind, or everything but results/."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.errors import HostError

if TYPE_CHECKING:
    from orchestrator.engines.leftovers import Leftover

AllOption = Annotated[bool, typer.Option("--all", help="also all images, environments, datasets and weights")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="do not ask")]


def command(all_: AllOption = False, yes: YesOption = False) -> None:
    """Remove what killed runs left behind; with --all, everything but results/.

    \b
    Examples:
      rosetta clean
      rosetta clean --all
    """
    from orchestrator import files
    from orchestrator.cli.screen import Screen
    from orchestrator.engines import leftovers

    with Screen() as screen:
        found = leftovers.find(files.default_cache(), everything=all_)
        if not found:
            screen.print_line("nothing to remove" + ("" if all_ else "; --all also removes images and caches"))
            return
        screen.show_rows(f"{len(found)} thing{'s' if len(found) != 1 else ''} to remove", list(map(_row, found)))
        if not yes and not typer.confirm("Remove them?"):
            screen.print_line("nothing was removed")
            return
        left = 0
        for each in found:
            try:
                each.remove()
            except (OSError, HostError) as error:
                left += 1
                screen.warn(f"{each.kind} {each.name} was not removed: {error}")
        screen.print_line(f"{left} of {len(found)} things were not removed" if left else "removed")
    if left:
        raise typer.Exit(HostError.exit_code)


def _row(leftover: Leftover) -> dict[str, str]:
    from rich.filesize import decimal

    size = "" if leftover.size is None else decimal(leftover.size)
    return {"kind": leftover.kind, "name": leftover.name, "size": size}
