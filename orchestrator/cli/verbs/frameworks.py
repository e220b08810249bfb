"""`rosetta list` and `rosetta new`: show the frameworks, or make the files of a new one."""

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
ModuleOption = Annotated[
    str, typer.Option(help="what Python imports, if it is not called as the package", metavar="NAME")
]
CommandOption = Annotated[
    str, typer.Option(help="starts a workload of a framework that is not Python", metavar="COMMAND")
]
BaseOption = Annotated[
    str,
    typer.Option(help="with --command: the image to build on (default: the Debian here)", metavar="IMAGE@DIGEST"),
]


def ls(json: JsonOption = False) -> None:
    """Show every framework: title, version, workloads, image, and whether the image is built.

    \b
    Examples:
      rosetta list
      rosetta list --json
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
    module: ModuleOption = "",
    python: Annotated[str, typer.Option(help="the Python of its image (default: the newest here)")] = "",
    command: CommandOption = "",
    base: BaseOption = "",
) -> None:
    """Make the files of a new framework: its image, lock, workloads and a test, for you to fill in.

    With --command, for a framework that is not Python: its image, versions.txt, resnet50 and a test.

    \b
    Examples:
      rosetta new autograd --package autograd==1.9.1 --package numpy==2.4.6
      rosetta new sklearn --package scikit-learn==1.7.2 --module sklearn
      rosetta new ort-node --package onnxruntime-node==1.20.1 \\
          --command 'node workloads/{module}/{workload}.js'
    """
    from orchestrator.cli.screen import Screen
    from orchestrator.plan import catalog
    from orchestrator.verify import scaffold

    choice = scaffold.NewFramework(
        framework=framework,
        title=title,
        packages=tuple(package),
        python=python,
        module=module,
        command=command,
        base=base,
    )
    root = place.checkout("new")
    texts = scaffold.files(choice, catalog.load(root))
    scaffold.write(root, texts)
    with Screen() as screen:
        for path in texts:
            screen.print_line(f"  {path}")
        locked = bool(command) or subprocess.run(["ci/lock.sh", framework], cwd=root, check=False).returncode == 0
        screen.show_list("next", _next_steps(framework, list(map(str, texts)), locked=locked, foreign=bool(command)))


def _next_steps(framework: str, paths: list[str], *, locked: bool, foreign: bool) -> list[str]:
    """What to do with the files of a new framework."""
    edited = [path for path in paths if path.startswith("workloads/") and "__init__" not in path]
    page = "docs/other-languages.md" if foreign else "workloads/numpy, which has the same steps"
    steps = [
        f"fill in {' '.join(edited)} (see {page})",
        f"`rosetta check {framework} --workload resnet50` builds the image and tests one workload at a time",
        f"`rosetta check {framework}` runs the rest, and says what is left to do",
        f"correct the label rosetta.disk.cpu in images/{framework}/Dockerfile: `rosetta images ls` shows the size",
    ]
    if foreign:
        steps.insert(0, f"complete images/{framework}/Dockerfile: it has to install what versions.txt names")
    if not locked:
        steps.insert(0, f"`ci/lock.sh {framework}` pins what the image installs: it failed just now, so run it again")
    return steps
