"""The files of a new framework: an image, a lock, workloads and a test, to be filled in.

They are made from templates/. Only `write` has side effects.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from orchestrator.errors import StoreError, UsageError
from orchestrator.files import atomic_write
from orchestrator.plan.catalog import Catalog
from orchestrator.plan.workloads import WORKLOADS

if TYPE_CHECKING:
    import jinja2

_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_BASE = re.compile(r"[a-z0-9][A-Za-z0-9./:_-]*@sha256:[0-9a-f]{64}")
_FILE = re.compile(r"workloads/\{module\}/\{workload\}(\.[A-Za-z0-9]+)")
_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9][A-Za-z0-9.+!_-]*)")


@dataclass(frozen=True, kw_only=True)
class NewFramework:
    """The description of a new framework. `packages` are versions, the framework's own first."""

    framework: str
    title: str
    packages: tuple[str, ...]
    python: str = ""  # of its image; empty for the newest that an image here has, or if `command` is given
    module: str = ""  # the name that Python imports; empty if it is that of the package
    command: str = ""  # starts a workload of a framework that is not Python; {module} and {workload} stand for names
    base: str = ""  # the image that such a framework is built on, with its digest


def files(choice: NewFramework, known: Catalog) -> dict[PurePosixPath, str]:
    """The text of each file by its path below the checkout. Raises UsageError for an invalid choice."""
    if not _NAME.fullmatch(choice.framework):
        raise UsageError(f"{choice.framework!r} is not a valid name", hint="use a-z, 0-9 and -, a letter first")
    if choice.framework in known.frameworks or choice.framework in {image.name for image in known.images}:
        raise UsageError(f"{choice.framework} exists already", hint="choose a name that `rosetta list` does not show")
    own = _pins(choice.packages)[0]
    title = choice.title or choice.framework
    if not title.isprintable() or any(character in title for character in '"\\$'):
        raise UsageError(f"--title {title!r}: not allowed in a Dockerfile's label", hint="leave out quotes, \\ and $")
    values = {
        "framework": choice.framework,
        "module": choice.framework.replace("-", "_"),
        "title": title,
        "version": own[2],
        "packages": choice.packages,
    }
    if choice.command:
        return _rendered({**values, **_foreign(choice, known)}, _foreign_places(choice.command))
    return _rendered({**values, **_python(choice, known, own[1])}, _python_places())


def _pins(packages: Sequence[str]) -> list[re.Match[str]]:
    """The packages, each split into name and version. Raises UsageError."""
    found = []
    for package in packages:
        pin = _PIN.fullmatch(package)
        if pin is None:
            raise UsageError(f"--package {package}: not of the form NAME==VERSION", hint="give an exact version")
        found.append(pin)
    if not found:
        raise UsageError("no package is named", hint="name the framework's own first, e.g. --package autograd==1.9.1")
    return found


def _python(choice: NewFramework, known: Catalog, package: str) -> dict[str, object]:
    """What the files of a framework for Python say of it; `package` is its own. Raises UsageError."""
    bases = {image.python: image.base for image in known.images if image.python}
    python = choice.python or max(bases, key=_numbers)
    if choice.base:
        raise UsageError("--base is for a framework that is not Python", hint="add --command, or choose --python")
    if python not in bases:
        raise UsageError(
            f"no image here has Python {python}",
            hint=f"choose one of {', '.join(sorted(bases, key=_numbers))}, and change BASE_IMAGE in the Dockerfile "
            "afterwards",
        )
    module = choice.module or package.lower().replace("-", "_")
    if not _MODULE.fullmatch(module):
        raise UsageError(
            f"{module!r} is not a name that Python can import",
            hint=f"add --module NAME, for `import NAME` with {package} installed",
        )
    return {"imported": module, "python": python, "base": bases[python]}


def _foreign(choice: NewFramework, known: Catalog) -> dict[str, object]:
    """What the files of a framework that is not Python say of it. Raises UsageError."""
    if choice.python or choice.module:
        raise UsageError("--command is for a framework that is not Python", hint="leave out --python and --module")
    if not _FILE.search(choice.command) or any(character in choice.command for character in '"\\$\n'):
        raise UsageError(
            f"--command {choice.command!r} names no workload",
            hint="write the file with these two names in braces: --command 'node workloads/{module}/{workload}.js'",
        )
    if choice.base and not _BASE.fullmatch(choice.base):
        raise UsageError(
            f"--base {choice.base}: not of the form IMAGE:TAG@sha256:DIGEST",
            hint="`docker buildx imagetools inspect IMAGE:TAG` shows the digest",
        )
    bases = {image.python: image.base for image in known.images if image.python}
    return {"command": choice.command, "base": choice.base or bases[max(bases, key=_numbers)]}


def _numbers(version: str) -> list[int]:
    """The numbers in a version of Python: [3, 11]."""
    return [int(digits) for digits in re.findall(r"[0-9]+", version)]


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


def _python_places() -> dict[str, str]:
    """Of a framework for Python: the path of each file, with names in braces, and its template."""
    workloads = [f"{name}.py" for name in WORKLOADS if f"{name}.py.jinja" in _templates().list_templates()]
    return {
        "images/{framework}/Dockerfile": "Dockerfile",
        "images/{framework}/requirements-cpu.in": "requirements-cpu.in",
        **{f"workloads/{{module}}/{name}": name for name in ("__init__.py", "runtime.py", *workloads)},
        "tests/docker/test_{module}.py": "test.py",
    }


def _foreign_places(command: str) -> dict[str, str]:
    """The same of a framework that is not Python: its language is that of the suffix of its workloads."""
    suffix = _suffix(command)
    template = f"resnet50{suffix}"
    known = f"{template}.jinja" in _templates().list_templates()
    compiler = {"images/{framework}/compile-and-run": "compile-and-run"} if suffix == ".cpp" else {}
    return {
        "images/{framework}/Dockerfile": "Dockerfile-command",
        "images/{framework}/versions.txt": "versions.txt",
        **compiler,
        f"workloads/{{module}}/resnet50{suffix}": template if known else "resnet50.other",
        "tests/docker/test_{module}.py": "test.py",
    }


def _suffix(command: str) -> str:
    """The suffix of the file that the command of a workload runs."""
    match = _FILE.search(command)
    return match[1] if match else ""


@functools.cache
def _templates() -> jinja2.Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("orchestrator.verify.scaffold"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,  # noqa: S701  (the output is not HTML, and the values are validated)
    )


def _rendered(values: Mapping[str, object], places: Mapping[str, str]) -> dict[PurePosixPath, str]:
    """The text of each file by its path; `places` maps paths with names in braces to templates."""
    return {
        PurePosixPath(path.format(**values)): _templates().get_template(f"{name}.jinja").render(values)
        for path, name in places.items()
    }
