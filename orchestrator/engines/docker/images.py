"""Images: their names, whether they exist, and building them.

An image's tag ends in a hash of its files and its base. So an image whose tag exists is up to date, and a stored
result names exactly the image that it ran in.

ROSETTA_BASE_PREFIX names the place of base images, instead of the public registry.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from orchestrator import activity, leases
from orchestrator.activity import Activity
from orchestrator.engines.build_failure import explain
from orchestrator.engines.docker.build_inputs import build_options, lock_of, recipe_files
from orchestrator.engines.docker.builder import Builder, find_builder, run_build
from orchestrator.errors import BuildError, DiskError
from orchestrator.files import default_cache, sha256_of
from orchestrator.plan.catalog import Image

if TYPE_CHECKING:
    from orchestrator.engines.docker.client import Built
    from orchestrator.engines.streaming import Finished

REPOSITORY = "rosetta"
_BUILD_ROOM = 2  # times the image's size; measured: up to 1.9, because wheels and their unpacked files exist together
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def base_reference(image: Image, *, environ: Mapping[str, str] = os.environ) -> str:
    """The base of `image`: the pinned reference, or the image of that name under ROSETTA_BASE_PREFIX."""
    prefix = environ.get("ROSETTA_BASE_PREFIX", "").rstrip("/")
    # Without the digest: a local copy has another one than the public image.
    return f"{prefix}/{image.base.partition('@')[0]}" if prefix else image.base


def tag(image: Image, variant: str, *, environ: Mapping[str, str] = os.environ) -> str:
    """The name of an image: `rosetta/<image>:<variant>-<12 hex digits over variant, base and files>`.

    Raises BuildError when there is no such variant.
    """
    digest = hashlib.sha256()
    for part in (variant, base_reference(image, environ=environ), *_recipe(image, variant)):
        digest.update(part.encode() + b"\0")
    return f"{REPOSITORY}/{image.name}:{variant}-{digest.hexdigest()[:12]}"


def recipe_sha256(image: Image, variant: str) -> str:
    """SHA-256 of everything an image is made from except its base: Dockerfile, lock and other files of its folder.

    Raises BuildError when there is no such variant.
    """
    return hashlib.sha256("\0".join(_recipe(image, variant)).encode()).hexdigest()


def lock_sha256(image: Image, variant: str) -> str:
    """SHA-256 of the lock file of one variant. Raises BuildError when there is no such variant."""
    return sha256_of(lock_of(image, variant))


def listing(
    images: Iterable[Image], *, environ: Mapping[str, str] = os.environ
) -> list[tuple[Image, str, str, Built | None]]:
    """Every image, variant and tag, with the built image or None. Raises HostError when no daemon answers."""
    from orchestrator.engines.docker import client

    pairs = [(image, variant) for image in images for variant in image.locks]
    tags = [tag(image, variant, environ=environ) for image, variant in pairs]
    existing = client.find_images(tags)
    return [(image, variant, name, existing.get(name)) for (image, variant), name in zip(pairs, tags, strict=True)]


def build(image: Image, variant: str, *, environ: Mapping[str, str] = os.environ) -> str:
    """Build an image unless it exists; return its tag. The build's output is logged at level INFO.

    Raises BuildError when the build fails, HostError without Docker and DiskError when there is too little space. An
    interruption stops the build.
    """
    from orchestrator.engines.docker import client  # late: it imports docker, which only builds and queries need

    reference = tag(image, variant, environ=environ)
    if client.find_images([reference]):
        return reference
    builder = find_builder()
    lock = default_cache(environ) / "locks" / f"{reference.replace('/', '-').replace(':', '-')}.lock"
    with leases.awaited(lock, f"the image {reference}"):
        if client.find_images([reference]):  # another orchestrator has built it meanwhile
            return reference
        check_disk(image, variant, client.server().free_bytes())
        label = image.labels.get(f"rosetta.disk.{variant}")
        what = f"building image {image.name}" + (f" (about {label})" if label else "")
        with activity.reported(Activity(what=what, at="step")) as now:
            done = _run_build(builder, image, variant, environ, now)
    if done.status:
        subject = f"image {image.name} ({variant})"
        raise explain(subject, done.lines) if image.python else explain(subject, done.lines, or_process="")
    _check_labels(image, client.find_images([reference])[reference])
    return reference


def declared_size(image: Image, variant: str, what: Literal["disk", "download"] = "disk") -> int | None:
    """The size of a built image, or of what its build downloads, in bytes, from its label; None without the label.

    Raises BuildError for a label that is no size.
    """
    name = f"rosetta.{what}.{variant}"
    label = image.labels.get(name)
    if label is None:
        return None
    size = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMGT]?)B", label.strip())
    if not size:
        raise BuildError(
            f"image {image.name}: the label {name} says {label!r}",
            hint='write the size with its unit, for example "1.1 GB"',
        )
    return round(float(size[1]) * _UNITS[size[2]])


def check_disk(image: Image, variant: str, free: int | None) -> None:
    """Raise DiskError when the image cannot be built in `free` bytes. None means unknown, and passes."""
    size = declared_size(image, variant)
    if size is None:
        return
    room = _BUILD_ROOM * size
    if free is not None and free < room:
        raise DiskError(
            f"image {image.name} ({variant}) takes {image.labels[f'rosetta.disk.{variant}']}, "
            f"and up to {room / 1e9:.1f} GB while it is built; "
            f"Docker's disk has {free / 1e9:.1f} GB left",
            hint="see what uses Docker's disk with `docker system df`, or move its data-root to a larger disk",
        )


def _recipe(image: Image, variant: str) -> list[str]:
    """Name and SHA-256 of each file that an image is made from, in turn."""
    return [part for path in recipe_files(image, variant) for part in (path.name, sha256_of(path))]


def _run_build(
    builder: Builder, image: Image, variant: str, environ: Mapping[str, str], at_step: Callable[..., object]
) -> Finished:
    with tempfile.TemporaryDirectory(prefix="rosetta-build-") as scratch:
        try:
            options = build_options(
                image,
                variant,
                Path(scratch),
                tag=tag(image, variant, environ=environ),
                base=base_reference(image, environ=environ),
                environ=environ,
            )
        except OSError as error:
            raise DiskError(
                f"image {image.name} ({variant}): its build cannot be prepared in {scratch}: {error.strerror}",
                hint="free some space there, or name another folder for temporary files in TMPDIR",
            ) from error
        return run_build(builder, options, environ, at_step)


def _check_labels(image: Image, result: Built) -> None:
    """Docker must read the Dockerfile's labels as the catalog does: jobs are planned by them."""
    wrong = sorted(key for key, value in image.labels.items() if result.labels.get(key) != value)
    if wrong:
        raise BuildError(
            f"{result.tag}: its label {wrong[0]} is {result.labels.get(wrong[0])!r}, "
            f"but the Dockerfile was read as {image.labels[wrong[0]]!r}",
            hint=f'write the LABEL in {image.folder / "Dockerfile"} as plain key="value" pairs',
        )
