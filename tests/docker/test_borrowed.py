"""Checking large images one at a time must leave no trace of them, and must not remove an image that was there before."""

import secrets
import shutil
import subprocess

import pytest

from orchestrator.engines.docker import images
from orchestrator.errors import BuildError
from orchestrator.plan import catalog
from tests.support import checks
from tests.support.borrowed import borrowed, is_built
from tests.support.engine_cases import ECHO

CHECK = checks.engine("borrowed images", "tests/docker/test_borrowed.py")
pytestmark = [pytest.mark.docker, checks.mark(CHECK)]
NEVER_SEEN = secrets.token_hex()


@pytest.fixture
def image(docker_engine, tmp_path):
    """A small catalog.Image that was never built before."""
    root = tmp_path / "project"
    shutil.copytree(ECHO, root)
    with (root / "images" / "echo" / "Dockerfile").open("a") as file:
        file.write(f"\nRUN echo {NEVER_SEEN}\n")
    (image,) = catalog.load(root).images
    return image


def is_cached():
    """Whether the build cache has a record of the image's last layer."""
    argv = ["docker", "system", "df", "--verbose", "--format={{range .BuildCache}}{{println .Description}}{{end}}"]
    return NEVER_SEEN in subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def test_one_that_had_to_be_built_leaves_nothing_behind(image):
    with borrowed(image, "cpu") as tag:
        assert tag == images.tag(image, "cpu")
        assert is_built(image, "cpu")
        assert is_cached()
    assert not is_built(image, "cpu")
    assert not is_cached()


def test_one_that_was_there_stays(image):
    with borrowed(image, "cpu") as tag:
        with borrowed(image, "cpu") as again:
            assert again == tag
        assert is_built(image, "cpu")
        assert is_cached()


def test_one_that_cannot_be_built_leaves_nothing_behind_either(image):
    with (image.folder / "Dockerfile").open("a") as file:
        file.write("RUN false\n")
    with pytest.raises(BuildError, match="image echo"), borrowed(image, "cpu"):
        pass
    assert not is_cached()
