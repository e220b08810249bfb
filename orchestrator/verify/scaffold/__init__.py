"""The files of a new framework: an image, a lock, workloads and a test, to be filled in.

They are made from templates/. Only `write` has side effects.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from orchestrator.errors import StoreError, UsageError
from orchestrator.files import atomic_write
from orchestrator.plan.catalog import Catalog
from orchestrator.plan.workloads import WORKLOADS

_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9][A-Za-z0-9.+!_-]*)")


@dataclass(frozen=True, kw_only=True)
class NewFramework:
    """The description of a new framework. `packages` are pins, the framework's own first."""

    framework: str
    title: str
    packages: tuple[str, ...]
    python: str


def files(choice: NewFramework, known: Catalog) -> dict[PurePosixPath, str]:
    """The text of each file by its path below the checkout. Raises UsageError for an invalid choice."""
    if not _NAME.fullmatch(choice.framework):
        raise UsageError(f"{choice.framework!r} is not a valid name", hint="use a-z, 0-9 and -, a letter first")
    if choice.framework in known.frameworks or choice.framework in {image.name for image in known.images}:
        raise UsageError(
            f"{choice.framework} exists already", hint="choose a name that `orchestrator list` does not show"
        )
    bases = {image.python: image.base for image in known.images if image.python}
    if choice.python not in bases:
        raise UsageError(
            f"no image here has Python {choice.python}",
            hint=f"choose one of {', '.join(sorted(bases))}, and change BASE_IMAGE in the Dockerfile afterwards",
        )
    pins = [_PIN.fullmatch(package) for package in choice.packages]
    for package, pin in zip(choice.packages, pins, strict=True):
        if pin is None:
            raise UsageError(f"--package {package}: not of the form NAME==VERSION", hint="give an exact version")
    own = pins[0] if pins else None
    if own is None:
        raise UsageError("no package is named", hint="name the framework's own first, e.g. --package tinygrad==0.14.0")
    title = choice.title or choice.framework
    if not title.isprintable() or any(character in title for character in '"\\$'):
        raise UsageError(f"--title {title!r}: not allowed in a Dockerfile's label", hint="leave out quotes, \\ and $")
    values = {
        "framework": choice.framework,
        "module": choice.framework.replace("-", "_"),
        "title": title,
        "version": own[2],
        "package": own[1].lower().replace("-", "_"),
        "packages": choice.packages,
        "python": choice.python,
        "base": bases[choice.python],
    }
    return _rendered(values)


def write(root: Path, texts: Mapping[PurePosixPath, str]) -> None:
    """Write the files below `root`. Raises UsageError when one of them exists: nothing is overwritten."""
    for path in texts:
        if (root / path).exists():
            raise UsageError(f"{path} exists already", hint="remove it, or choose another name")
    for path, text in texts.items():
        try:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            atomic_write(root / path, text.encode())
        except OSError as error:
            raise StoreError(
                f"{path}: cannot be written: {error.strerror}", hint="check the permissions of the folder"
            ) from error


def _rendered(values: Mapping[str, object]) -> dict[PurePosixPath, str]:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("orchestrator.verify.scaffold"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,  # noqa: S701  (the output is not HTML, and the values are validated)
    )
    known = environment.list_templates()  # not every workload has a template
    image, workloads = PurePosixPath(f"images/{values['framework']}"), PurePosixPath(f"workloads/{values['module']}")
    places = {
        "Dockerfile": image,
        "requirements-cpu.in": image,
        **dict.fromkeys(("__init__.py", "runtime.py"), workloads),
        **dict.fromkeys((f"{name}.py" for name in WORKLOADS if f"{name}.py.jinja" in known), workloads),
    }
    texts = {folder / name: environment.get_template(f"{name}.jinja").render(values) for name, folder in places.items()}
    test = PurePosixPath(f"tests/docker/test_{values['module']}.py")
    return {**texts, test: environment.get_template("test.py.jinja").render(values)}
