"""`orchestrator list` and `orchestrator new`: show the frameworks, or make the files of a new one."""

from __future__ import annotations

import subprocess
from typing import Annotated

import typer

from orchestrator.cli import place
from orchestrator.cli.options import JsonOption

NewFrameworkArgument = Annotated[str, typer.Argument(help="its name on the command line", metavar="FRAMEWORK")]
PackageOption = Annotated[
    list[str], typer.Option(help="what to install, the framework first (repeatable)", metavar="NAME==VERSION")
]


def ls(json: JsonOption = False) -> None:
    """Show every framework: title, version, workloads, image, and whether the image is built.

    \b
    Examples:
      orchestrator list
      orchestrator list --json
    """
    from orchestrator.cli import listing
    from orchestrator.cli.screen import Screen
    from orchestrator.plan import catalog

    rows = listing.framework_rows(catalog.load(place.current().root))
    with Screen() as screen:
        if json:
            screen.print_json(rows)
        else:
            screen.show_rows("Frameworks", [{k: v for k, v in row.items() if k != "variants"} for row in rows])


def new(
    framework: NewFrameworkArgument,
    package: PackageOption,
    title: Annotated[str, typer.Option(help="its name in tables")] = "",
    python: Annotated[str, typer.Option(help="the Python of its image", metavar="VERSION")] = "3.11",
) -> None:
    """Make the files of a new framework: its image, lock, workloads and a test, for you to fill in.

    \b
    Example:
      orchestrator new tinygrad --title tinygrad --package tinygrad==0.14.0 --package numpy==2.4.6
    """
    from orchestrator.cli.screen import Screen
    from orchestrator.plan import catalog
    from orchestrator.verify import scaffold

    choice = scaffold.NewFramework(framework=framework, title=title, packages=tuple(package), python=python)
    root = place.checkout("new")
    texts = scaffold.files(choice, catalog.load(root))
    scaffold.write(root, texts)
    with Screen() as screen:
        for path in texts:
            screen.print_line(f"  {path}")
        locked = subprocess.run(["ci/lock.sh", framework], cwd=root, check=False).returncode == 0
        screen.show_next(framework, [str(path) for path in texts], locked=locked)
