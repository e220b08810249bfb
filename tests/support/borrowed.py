"""An image for as long as a test needs it: one that exists stays, one that has to be built is removed again."""

import contextlib
import os
import subprocess
from collections.abc import Iterator

from orchestrator.engines.docker import client, images
from orchestrator.plan.catalog import Image


def is_built(image: Image, variant: str) -> bool:
    """Whether the daemon has this image, as this checkout describes it."""
    return bool(client.find_images([images.tag(image, variant)]))


@contextlib.contextmanager
def borrowed(image: Image, variant: str) -> Iterator[str]:
    """Yield the tag of an image; raises what images.build raises.

    An image built here is removed, with everything that entered the daemon's build cache meanwhile. (Another build that
    runs at that time loses its cache too, never its image. A builder in a container of its own keeps its cache.)
    """
    if is_built(image, variant):
        yield images.tag(image, variant)
        return
    before = build_cache()
    try:
        # The cache of pip's downloads is one for all images, so what one of them put there could not be distinguished.
        tag = images.build(image, variant, environ={**os.environ, "PIP_NO_CACHE_DIR": "1"})
        try:
            yield tag
        finally:
            client.remove_image(tag)
    finally:
        prune(build_cache() - before)


def build_cache() -> set[str]:
    """The ids of all records in the daemon's build cache."""
    argv = ["docker", "system", "df", "--verbose", "--format={{range .BuildCache}}{{println .ID}}{{end}}"]
    return set(subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split())


def prune(records: set[str]) -> None:
    """Remove these records from the build cache. All in one call: a record goes after those that build on it."""
    if records:
        chosen = f"--filter=id=/^({'|'.join(records)})$/"
        subprocess.run(["docker", "builder", "prune", "--all", "--force", chosen], capture_output=True, check=True)
