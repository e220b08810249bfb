"""Builds images, each named after everything that goes into it.

An image's tag ends in a hash of its build context and its base, so a tag that exists is up to date and a
stored result names exactly what it ran in. Building goes through the docker command line, because BuildKit's
mounts and secrets are out of reach of Docker's Python client (https://github.com/docker/docker-py/issues/2230).

From the environment come ROSETTA_BASE_PREFIX (where base images are, instead of the public registry), pip's
own PIP_FIND_LINKS, PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_TRUSTED_HOST, PIP_DEFAULT_TIMEOUT, PIP_CERT and
PIP_NO_CACHE_DIR (the builder then keeps no downloads for the next build), and the usual proxy variables.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from orchestrator.engines.build_failure import explain
from orchestrator.engines.docker import docker_cli
from orchestrator.engines.docker.docker_cli import Builder, Built, find_builder, free_bytes, inspect
from orchestrator.errors import BuildError, DiskError
from orchestrator.files import default_cache, sha256_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from orchestrator.plan.catalog import Image

__all__ = [
    "Builder",
    "Built",
    "base_reference",
    "build",
    "built",
    "check_disk",
    "find_builder",
    "inspect",
    "listing",
    "lock_sha256",
    "recipe_sha256",
    "stage_context",
    "tag",
]

REPOSITORY = "rosetta"
_CERTIFICATES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
_PIP_OPTIONS = ("index-url", "extra-index-url", "trusted-host", "default-timeout")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_KEPT_LINES = 400  # of a build's output, to explain a failure
_BUILD_ROOM = 2  # times the image's size; measured: up to 1.9, as wheels lie beside what they unpack to
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def base_reference(image: Image, *, environ: Mapping[str, str] = os.environ) -> str:
    """What `image` is built on: the pinned reference, or the image of that name under ROSETTA_BASE_PREFIX."""
    prefix = environ.get("ROSETTA_BASE_PREFIX", "").rstrip("/")
    # A local stand-in has another digest than the public image it stands for.
    return f"{prefix}/{image.base.partition('@')[0]}" if prefix else image.base


def tag(image: Image, variant: str, *, environ: Mapping[str, str] = os.environ) -> str:
    """The name of an image: `rosetta/<image>:<variant>-<12 hex digits over variant, base and build context>`.

    Raises BuildError when there is no such variant.
    """
    digest = hashlib.sha256()
    for part in (variant, base_reference(image, environ=environ), *_recipe(image, variant)):
        digest.update(part.encode() + b"\0")
    return f"{REPOSITORY}/{image.name}:{variant}-{digest.hexdigest()[:12]}"


def recipe_sha256(image: Image, variant: str) -> str:
    """SHA-256 of all that an image is made from but its base: Dockerfile, lock and what else is in its folder.

    Raises BuildError when there is no such variant.
    """
    return hashlib.sha256("\0".join(_recipe(image, variant)).encode()).hexdigest()


def lock_sha256(image: Image, variant: str) -> str:
    """SHA-256 of the lock file of one variant. Raises BuildError when there is no such variant."""
    return sha256_of(_lock(image, variant))


def built(image: Image, variant: str, *, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the image exists, as this checkout describes it. Raises HostError without Docker."""
    return bool(inspect([tag(image, variant, environ=environ)]))


def listing(
    images: Iterable[Image], *, environ: Mapping[str, str] = os.environ
) -> list[tuple[Image, str, str, Built | None]]:
    """Every image, variant and tag, and what was built, if it is. Raises HostError without Docker."""
    pairs = [(image, variant) for image in images for variant in image.locks]
    tags = [tag(image, variant, environ=environ) for image, variant in pairs]
    existing = inspect(tags)
    return [(image, variant, name, existing.get(name)) for (image, variant), name in zip(pairs, tags, strict=True)]


def build(
    image: Image,
    variant: str,
    *,
    log: Callable[[str], None],
    builder: Builder | None = None,
    environ: Mapping[str, str] = os.environ,
) -> str:
    """Build an image unless it exists; return its tag. `log` gets the command and every line it prints.

    Raises BuildError when the build fails, HostError without Docker and DiskError when there is too little room. An
    interruption stops the build.
    """
    reference = tag(image, variant, environ=environ)
    if inspect([reference]):
        return reference
    builder = builder or find_builder()
    with _alone(reference, log, environ):
        if inspect([reference]):  # somebody else built it while this one waited
            return reference
        check_disk(image, variant, free_bytes(builder))
        lines: deque[str] = deque(maxlen=_KEPT_LINES)

        def keep(line: str) -> None:
            lines.append(line)
            log(line)

        with tempfile.TemporaryDirectory(prefix="rosetta-build-") as scratch:
            try:
                options = _options(image, variant, Path(scratch), environ)
            except OSError as error:
                raise DiskError(
                    f"image {image.name} ({variant}): its build cannot be prepared in {scratch}: {error.strerror}",
                    hint="make room there, or name another folder for temporary files in TMPDIR",
                ) from error
            status = docker_cli.build(builder, options, keep, environ)
    if status:
        raise explain(f"image {image.name} ({variant})", lines)
    _check_labels(image, inspect([reference])[reference])
    return reference


def stage_context(image: Image, variant: str, into: Path, *, environ: Mapping[str, str] = os.environ) -> None:
    """Fill the empty folder `into` with all that a build's steps may read.

    That is the files of the image's folder, without the Dockerfile, and `wheels/`: the wheels in the folders of
    PIP_FIND_LINKS whose SHA-256 is in the lock. A wheel with the right name and other content is left out.
    """
    for path in _context_files(image, variant):
        # A step that mounts the context runs anew when anything in it changes; a changed LABEL is no reason to.
        if path.name != "Dockerfile":
            shutil.copyfile(path, into / path.name)
    wheels = into / "wheels"
    wheels.mkdir()
    lock = _lock(image, variant).read_text(encoding="utf-8")
    hashes = set(re.findall(r"--hash=sha256:([0-9a-f]{64})", lock))
    names = {_normal(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", lock, re.MULTILINE)}
    for folder in _link_folders(environ):
        for wheel in sorted(folder.glob("*.whl")):
            # The name only saves reading gigabytes; the content decides.
            if _normal(wheel.name.partition("-")[0]) in names and sha256_of(wheel) in hashes:
                _link_or_copy(wheel, wheels / wheel.name)


def check_disk(image: Image, variant: str, free: int | None) -> None:
    """Raise DiskError when the image cannot be built in `free` bytes; None, an unknown amount, passes."""
    label = image.labels.get(f"rosetta.disk.{variant}")
    if label is None:  # an image nobody has built yet
        return
    size = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMGT]?)B", label.strip())
    if not size:
        raise BuildError(
            f"image {image.name}: the label rosetta.disk.{variant} says {label!r}",
            hint='write the size of the built image, for example "1.1 GB"',
        )
    room = _BUILD_ROOM * float(size[1]) * _UNITS[size[2]]
    if free is not None and free < room:
        raise DiskError(
            f"image {image.name} ({variant}) takes {label}, and up to {room / 1e9:.1f} GB while it is built; "
            f"Docker's disk has {free / 1e9:.1f} GB left",
            hint="see what Docker holds with `docker system df`, or move its data-root to a larger disk",
        )


def _lock(image: Image, variant: str) -> Path:
    if variant not in image.locks:
        known = ", ".join(sorted(image.locks)) or "none"
        raise BuildError(f"image {image.name} has no {variant} variant", hint=f"its variants: {known}")
    return image.locks[variant]


def _context_files(image: Image, variant: str) -> list[Path]:
    """What an image is made from: its folder but for other variants' locks and what locks are made from."""
    others = {path.name for path in image.locks.values()} - {_lock(image, variant).name}
    visible = (path for path in image.folder.glob("[!.]*") if path.is_file() and path.suffix != ".in")
    return sorted(path for path in visible if path.name not in others)


def _recipe(image: Image, variant: str) -> list[str]:
    """Name and sha256 of each of these files, in turn."""
    return [part for path in _context_files(image, variant) for part in (path.name, sha256_of(path))]


def _options(image: Image, variant: str, scratch: Path, environ: Mapping[str, str]) -> list[str]:
    """Write the build's inputs into `scratch` and return what to tell a builder that builds from them."""
    context, pip_conf, certificates = scratch / "context", scratch / "pip.conf", _certificates(environ)
    context.mkdir()
    stage_context(image, variant, context, environ=environ)
    pip_conf.write_text(_pip_settings(environ, own_certificates=certificates is not None), encoding="utf-8")
    if certificates is None:
        certificates = scratch / "no-certificates"
        certificates.touch()
    return [
        "--progress=plain",
        f"--file={image.folder / 'Dockerfile'}",
        f"--tag={tag(image, variant, environ=environ)}",
        f"--build-arg=BASE_IMAGE={base_reference(image, environ=environ)}",
        f"--build-arg=VARIANT={variant}",
        # Given without a value, docker takes it from the environment and keeps it out of the image's history.
        *(f"--build-arg={name}" for name in _PROXIES if environ.get(name)),
        f"--secret=id=ca,src={certificates}",
        f"--secret=id=pip.conf,src={pip_conf}",
        str(context),
    ]


def _certificates(environ: Mapping[str, str]) -> Path | None:
    files = (Path(environ[name]) for name in _CERTIFICATES if environ.get(name))
    return next((path for path in files if path.is_file()), None)


def _pip_settings(environ: Mapping[str, str], *, own_certificates: bool) -> str:
    """The pip.conf for a build, from this host's settings; a secret, for an index URL may hold a password."""
    settings = {"progress-bar": "off", "root-user-action": "ignore", "disable-pip-version-check": "true"}
    if own_certificates:
        settings["cert"] = "/run/secrets/ca"
    for option in _PIP_OPTIONS:
        if value := environ.get("PIP_" + option.upper().replace("-", "_")):
            settings[option] = " ".join(value.split())
    if environ.get("PIP_NO_CACHE_DIR"):
        # Not "true": pip 18, of old Pythons, stumbles over it, and every pip takes either word for "no cache".
        settings["no-cache-dir"] = "false"
    return "\n".join(["[global]", *(f"{option} = {value}" for option, value in settings.items()), ""])


def _link_folders(environ: Mapping[str, str]) -> list[Path]:
    """The local folders among PIP_FIND_LINKS, which separates paths and URLs by spaces."""
    links = environ.get("PIP_FIND_LINKS", "").split()
    paths = [unquote(urlsplit(link).path) if link.startswith("file:") else link for link in links]
    return [folder for path in paths if (folder := Path(path).expanduser()).is_dir()]


def _normal(name: str) -> str:
    """A project's name as packaging tools compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _link_or_copy(source: Path, target: Path) -> None:
    if target.exists():  # the same wheel in two folders
        return
    try:
        target.hardlink_to(source.resolve())
    except OSError:  # another file system, or a file of somebody else
        shutil.copyfile(source, target)


@contextlib.contextmanager
def _alone(reference: str, log: Callable[[str], None], environ: Mapping[str, str]) -> Iterator[None]:
    """Hold the lock under which `reference` is built, waiting for it if need be."""
    from filelock import FileLock, Timeout

    folder = default_cache(environ) / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{reference.replace('/', '-').replace(':', '-')}.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        log(f"waiting for another orchestrator that builds {reference}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _check_labels(image: Image, result: Built) -> None:
    wrong = sorted(key for key, value in image.labels.items() if result.labels.get(key) != value)
    if wrong:
        raise BuildError(
            f"{result.tag}: its label {wrong[0]} is {result.labels.get(wrong[0])!r}, "
            f"but the Dockerfile was read as {image.labels[wrong[0]]!r}",
            hint=f'write the LABEL in {image.folder / "Dockerfile"} as plain key="value" pairs',
        )
