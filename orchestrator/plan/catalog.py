"""Which frameworks there are: read from the LABELs of images/*/Dockerfile and the listing of workloads/.

Adding a framework adds a Dockerfile and its workload files; nothing here names one. Labels are flat,
read from the Dockerfile's text before anything is built:

    rosetta.frameworks                   the rows this image serves, separated by spaces
    rosetta.python                       the Python in it, for engines that build a virtual environment instead;
                                         left out where there is none
    rosetta.command                      starts a workload, by default python -m workloads.{module}.{workload}
    rosetta.lock.<variant>               file that pins everything, by default requirements-<variant>.txt
    rosetta.disk.<variant>               size of the built image, e.g. "1.1 GB"
    rosetta.download.<variant>           what its build downloads besides its base image, e.g. "219 MB": the sum of the
                                         sizes of the files that it installs
    rosetta.cuda                         where a cuda variant exists: the CUDA it was built with, e.g. "11.2"
    rosetta.cuda.capability              the compute capabilities it carries machine code for, separated by spaces, e.g.
                                         "6.0 7.0 8.0"; code for one GPU's own features only (9.0a) does not count
    rosetta.cuda.ptx                     the PTX it carries for drivers to compile for later GPUs, e.g. "8.0"; left out
                                         where it carries none
    rosetta.framework.<id>.title         how tables call the row
    rosetta.framework.<id>.version       version of the framework
    rosetta.framework.<id>.module        folder under workloads/, by default the id
    rosetta.framework.<id>.workloads     fewer workloads than the folder has
    rosetta.framework.<id>.env.<NAME>    an environment variable of this row
    rosetta.framework.<id>.parallel      its workloads that several ranks can train together; none by default
"""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import CatalogError, UsageError
from orchestrator.host import cuda
from orchestrator.plan.workloads import WORKLOADS
from orchestrator.text import did_you_mean

PREFIX = "rosetta."
VARIANTS = ("cpu", "cuda")
COMMAND = "python -m workloads.{module}.{workload}"
MAX_DOCKERFILE_BYTES = 1 << 18
_ID = re.compile(r"^[a-z0-9][a-z0-9-]{0,39}$")
_MODULE = re.compile(r"^[a-z][a-z0-9_]{0,39}$")
_ENVIRONMENT = re.compile(r"^[A-Z][A-Z0-9_]*$")


@dataclass(frozen=True, kw_only=True)
class Framework:
    """One row of the tables."""

    id: str
    title: str
    version: str
    module: str
    workloads: tuple[str, ...]
    env: Mapping[str, str]
    parallel: tuple[str, ...] = ()  # the workloads that can be trained by several ranks


@dataclass(frozen=True, kw_only=True)
class Cuda:
    """What an image's cuda variant was compiled for."""

    version: cuda.Version  # of CUDA
    capabilities: tuple[cuda.Version, ...]  # machine code for these, ascending
    ptx: cuda.Version | None = None  # PTX for this


@dataclass(frozen=True, kw_only=True)
class Image:
    """One pinned environment, serving one or more frameworks."""

    name: str
    folder: Path
    base: str  # the pinned reference the Dockerfile builds on
    python: str | None  # "3.11"; None where the image is not Python's
    command: str  # starts a workload; {module} and {workload} stand for their names
    labels: Mapping[str, str]
    locks: Mapping[str, Path]  # variant → the file that pins everything in it
    frameworks: tuple[Framework, ...]
    cuda: Cuda | None = None  # None without a cuda variant


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """All images and frameworks of a checkout."""

    root: Path
    images: tuple[Image, ...]

    @property
    def frameworks(self) -> dict[str, tuple[Framework, Image]]:
        """Every framework by its id, with the image that serves it."""
        return {framework.id: (framework, image) for image in self.images for framework in image.frameworks}

    def select(self, names: Sequence[str]) -> tuple[Image, ...]:
        """The images called `names`; all when empty. Raises UsageError."""
        known = {image.name: image for image in self.images}
        for name in names:
            if name not in known:
                raise self._no_image(name, known)
        return tuple(known[name] for name in names) or self.images

    def _no_image(self, name: str, known: Mapping[str, Image]) -> UsageError:
        if name in self.frameworks:
            image = self.frameworks[name][1].name
            return UsageError(f"no image is called {name!r}: that framework's image is {image!r}", hint=f"type {image}")
        return UsageError(
            f"no image is called {name!r}{did_you_mean(name, known)}", hint="`rosetta images ls` shows all images"
        )


def load(root: Path) -> Catalog:
    """Read the catalog of the checkout at `root`. Raises CatalogError naming the file that is wrong."""
    folders = sorted(path.parent for path in (root / "images").glob("*/Dockerfile"))
    if not folders:
        raise CatalogError(f"no images/*/Dockerfile under {root}", hint="restore it, or install the program again")
    images = tuple(_image(folder, root / "workloads") for folder in folders)
    owners: dict[str, str] = {}
    for image in images:
        for framework in image.frameworks:
            if framework.id in owners:
                raise CatalogError(
                    f"framework {framework.id!r} is served by images {owners[framework.id]!r} and {image.name!r}",
                    hint="every framework has one image",
                )
            owners[framework.id] = image.name
    return Catalog(root=root, images=images)


def _image(folder: Path, workloads: Path) -> Image:
    dockerfile = folder / "Dockerfile"
    labels, base = _read_dockerfile(dockerfile)
    names = _required(labels, f"{PREFIX}frameworks", dockerfile).split()
    locks = _locks(folder, labels, dockerfile)
    return Image(
        name=folder.name,
        folder=folder,
        base=base,
        python=_python(labels, dockerfile),
        command=_command(labels, dockerfile),
        labels=labels,
        locks=locks,
        frameworks=tuple(_framework(name, labels, dockerfile, workloads) for name in names),
        cuda=_cuda(labels, dockerfile) if "cuda" in locks else None,
    )


def _python(labels: Mapping[str, str], dockerfile: Path) -> str | None:
    """The image's Python. An image whose label gives the command of its workloads may have none."""
    if f"{PREFIX}python" not in labels and f"{PREFIX}command" in labels:
        return None
    return _required(labels, f"{PREFIX}python", dockerfile)


def _command(labels: Mapping[str, str], dockerfile: Path) -> str:
    command = labels.get(f"{PREFIX}command", COMMAND)
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    if not words or "{workload}" not in command:
        raise CatalogError(
            f"{dockerfile}: LABEL {PREFIX}command={command!r} starts no workload", hint=f"the default is {COMMAND!r}"
        )
    return command


def _locks(folder: Path, labels: Mapping[str, str], dockerfile: Path) -> dict[str, Path]:
    """The lock file of every variant the image has."""
    locks = {}
    for variant in VARIANTS:
        label = f"{PREFIX}lock.{variant}"
        name = labels.get(label, f"requirements-{variant}.txt")
        if Path(name).name == name and (folder / name).is_file():
            locks[variant] = folder / name
        elif label in labels:
            raise CatalogError(f"{dockerfile}: LABEL {label}: no file {name!r} beside it", hint="name the lock file")
    return locks


def _cuda(labels: Mapping[str, str], dockerfile: Path) -> Cuda:
    """What the cuda variant was compiled for: all that can be known of it before it is built."""
    key = f"{PREFIX}cuda"
    version = _version(_required(labels, key, dockerfile), key, dockerfile)
    if version not in cuda.TOOLKIT_DRIVERS:
        raise CatalogError(
            f"{dockerfile}: LABEL {key}: nothing is known of CUDA {cuda.written(version)}",
            hint="correct it, or add that CUDA's drivers to orchestrator/host/cuda.py",
        )
    words = _required(labels, f"{key}.capability", dockerfile).split()
    ptx = labels.get(f"{key}.ptx")
    return Cuda(
        version=version,
        capabilities=tuple(sorted(_version(word, f"{key}.capability", dockerfile) for word in words)),
        ptx=None if ptx is None else _version(ptx, f"{key}.ptx", dockerfile),
    )


def _version(text: str, key: str, dockerfile: Path) -> cuda.Version:
    try:
        return cuda.version(text)
    except ValueError as error:
        raise CatalogError(
            f"{dockerfile}: LABEL {key}: {error}", hint='for example "7.5 8.0 9.0"; a list is separated by spaces'
        ) from None


def _read_dockerfile(path: Path) -> tuple[dict[str, str], str]:
    """The labels of a Dockerfile and the reference its BASE_IMAGE argument defaults to."""
    from dockerfile_parse import DockerfileParser

    try:
        if path.stat().st_size > MAX_DOCKERFILE_BYTES:
            raise CatalogError(f"{path}: larger than {MAX_DOCKERFILE_BYTES >> 10} KiB", hint="this is no Dockerfile")
        parser = DockerfileParser(fileobj=io.BytesIO(path.read_bytes()))
        labels = {key: value for key, value in parser.labels.items() if key.startswith(PREFIX)}
        arguments = [line["value"] for line in parser.structure if line["instruction"] == "ARG"]
    except (OSError, ValueError) as error:
        raise CatalogError(
            f"{path}: cannot be read: {error}", hint="see images/numpy/Dockerfile for the form"
        ) from error
    base = next((value.partition("=")[2] for value in arguments if value.startswith("BASE_IMAGE=")), "")
    if not base:
        raise CatalogError(f"{path}: has no ARG BASE_IMAGE=…", hint="see images/numpy/Dockerfile for the form")
    return labels, base


def _framework(name: str, labels: Mapping[str, str], dockerfile: Path, workloads: Path) -> Framework:
    prefix = f"{PREFIX}framework.{name}."
    module = labels.get(prefix + "module", name.replace("-", "_"))
    if not _ID.match(name) or not _MODULE.match(module):
        raise CatalogError(f"{dockerfile}: {name!r} or its module {module!r} is no valid name", hint="use a-z, 0-9, -")
    env = {key.removeprefix(prefix + "env."): value for key, value in labels.items() if key.startswith(prefix + "env.")}
    for variable in env:
        if not _ENVIRONMENT.match(variable):
            raise CatalogError(f"{dockerfile}: {variable!r} is no environment variable", hint="use A-Z, 0-9 and _")
    present = tuple(workload for workload in WORKLOADS if any((workloads / module).glob(f"{workload}.*")))
    wanted = labels.get(prefix + "workloads", " ".join(present)).split()
    parallel = labels.get(prefix + "parallel", "").split()
    missing = sorted({*wanted, *parallel} - set(present))
    if missing or not present:
        raise CatalogError(
            f"{dockerfile}: workloads/{module}/ has no {', '.join(missing) or 'workload'} for {name!r}",
            hint=f"a workload is a file named after one of: {', '.join(WORKLOADS)}",
        )
    return Framework(
        id=name,
        title=_required(labels, prefix + "title", dockerfile),
        version=_required(labels, prefix + "version", dockerfile),
        module=module,
        workloads=tuple(workload for workload in present if workload in wanted),
        env=env,
        parallel=tuple(workload for workload in present if workload in parallel),
    )


def _required(labels: Mapping[str, str], key: str, dockerfile: Path) -> str:
    value = labels.get(key, "").strip()
    if not value:
        raise CatalogError(f"{dockerfile}: LABEL {key} is missing", hint="see images/numpy/Dockerfile for the form")
    return value
