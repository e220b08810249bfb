"""What an image is made from: its files, and what its build gets from this machine.

These environment variables count: pip's own PIP_FIND_LINKS, PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_TRUSTED_HOST,
PIP_DEFAULT_TIMEOUT, PIP_CERT and PIP_NO_CACHE_DIR (the builder then keeps no downloads for the next build), and the
usual proxy variables.
"""

from __future__ import annotations

import re
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from orchestrator.errors import BuildError
from orchestrator.files import sha256_of
from orchestrator.plan.catalog import Image

CERTIFICATES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
PIP_OPTIONS = ("index-url", "extra-index-url", "trusted-host", "default-timeout")
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def lock_of(image: Image, variant: str) -> Path:
    """The lock file of one variant. Raises BuildError when there is no such variant."""
    if variant not in image.locks:
        known = ", ".join(sorted(image.locks)) or "none"
        raise BuildError(f"image {image.name} has no {variant} variant", hint=f"its variants: {known}")
    return image.locks[variant]


def recipe_files(image: Image, variant: str) -> list[Path]:
    """The files that an image is made from: all of its folder but hidden files, *.in and other variants' locks."""
    others = {path.name for path in image.locks.values()} - {lock_of(image, variant).name}
    visible = (path for path in image.folder.glob("[!.]*") if path.is_file() and path.suffix != ".in")
    return sorted(path for path in visible if path.name not in others)


def build_options(
    image: Image, variant: str, scratch: Path, *, tag: str, base: str, environ: Mapping[str, str]
) -> list[str]:
    """Write the build's inputs into the folder `scratch`; return the options for `docker build`. Raises OSError."""
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
        f"--tag={tag}",
        f"--build-arg=BASE_IMAGE={base}",
        f"--build-arg=VARIANT={variant}",
        # Without a value, docker takes it from the environment and keeps it out of the image's history.
        *(f"--build-arg={name}" for name in PROXIES if environ.get(name)),
        f"--secret=id=ca,src={certificates}",
        f"--secret=id=pip.conf,src={pip_conf}",
        str(context),
    ]


def stage_context(image: Image, variant: str, into: Path, *, environ: Mapping[str, str]) -> None:
    """Fill the empty folder `into` with all files that a build's steps may read.

    These are the files of the image's folder without the Dockerfile, and `wheels/`: the wheels in the folders of
    PIP_FIND_LINKS whose SHA-256 is in the lock. A wheel with the right name but other content is left out.
    """
    for path in recipe_files(image, variant):
        # A step that mounts the context runs again when any file in it changes. A changed LABEL needs no such step.
        if path.name != "Dockerfile":
            copy = into / path.name
            shutil.copyfile(path, copy)
            # Modes belong to the image, and to the key of the build cache: the umask must not change them.
            copy.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
    wheels = into / "wheels"
    wheels.mkdir()
    for folder in (into, wheels):
        folder.chmod(0o755)
    lock = lock_of(image, variant).read_text(encoding="utf-8")
    hashes = set(re.findall(r"--hash=sha256:([0-9a-f]{64})", lock))
    projects = {canonicalize_name(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", lock, re.MULTILINE)}
    for folder in _link_folders(environ):
        for wheel in sorted(folder.glob("*.whl")):
            # The name saves reading gigabytes of other wheels; the content decides.
            if _project(wheel) in projects and sha256_of(wheel) in hashes:
                _link_or_copy(wheel, wheels / wheel.name)


def _project(wheel: Path) -> str | None:
    """The normalised name of a wheel's project; None for a file name that pip would not accept."""
    try:
        return parse_wheel_filename(wheel.name)[0]
    except InvalidWheelFilename:
        return None


def _certificates(environ: Mapping[str, str]) -> Path | None:
    files = (Path(environ[name]) for name in CERTIFICATES if environ.get(name))
    return next((path for path in files if path.is_file()), None)


def _pip_settings(environ: Mapping[str, str], *, own_certificates: bool) -> str:
    """The pip.conf of a build, from this host's settings. It is a secret: an index URL may contain a password."""
    settings = {"progress-bar": "off", "root-user-action": "ignore", "disable-pip-version-check": "true"}
    if own_certificates:
        settings["cert"] = "/run/secrets/ca"
    for option in PIP_OPTIONS:
        if value := environ.get("PIP_" + option.upper().replace("-", "_")):
            settings[option] = " ".join(value.split())
    if environ.get("PIP_NO_CACHE_DIR"):
        # Not "true": pip 18, which old Pythons need, fails on it. Every pip reads either word as "no cache".
        settings["no-cache-dir"] = "false"
    return "\n".join(["[global]", *(f"{option} = {value}" for option, value in settings.items()), ""])


def _link_folders(environ: Mapping[str, str]) -> list[Path]:
    """The local folders in PIP_FIND_LINKS, which separates paths and URLs by spaces."""
    links = environ.get("PIP_FIND_LINKS", "").split()
    paths = [unquote(urlsplit(link).path) if link.startswith("file:") else link for link in links]
    folders = [Path(path).expanduser() if path.startswith("~/") else Path(path) for path in paths]
    return [folder for folder in folders if folder.is_dir()]


def _link_or_copy(source: Path, target: Path) -> None:
    if target.exists():  # two folders have the same wheel
        return
    try:
        target.hardlink_to(source.resolve())
    except OSError:  # another file system, or another user's file
        shutil.copyfile(source, target)
