"""The project as a user installs it: built into a wheel, in an empty virtual environment, with no network."""

import importlib.metadata
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.paths import ROOT

PROJECT = "rosetta-orchestrator"
GIT = ["git", "-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
SOURCES = (
    "orchestrator", "images", "workloads", "configs", "results/published", "results/reference", "ci",
    "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE",
)  # fmt: skip


def committed_source(folder: Path) -> Path:
    """A clone of this checkout as it is now, with one commit."""
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / name)
    for arguments in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "all"]):
        subprocess.run([*GIT, *arguments], cwd=folder, check=True)
    return folder


def commit_of(folder: Path) -> str:
    """The commit that is checked out there."""
    return subprocess.run(
        [*GIT, "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


def build(source: Path, into: Path) -> Path:
    """The wheel that is made from the source archive, as package indexes get both."""
    code = f"from setuptools import build_meta; print(build_meta.build_sdist({str(into)!r}))"
    into.mkdir()
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    archive = into / done.stdout.splitlines()[-1]
    _pip("wheel", "--no-build-isolation", "--wheel-dir", str(into), str(archive))
    (wheel,) = into.glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path) -> Path:
    """A virtual environment that has the wheel and what it requires, and nothing else. Returns its bin folder."""
    venv.create(folder, symlinks=True)
    binaries = folder / "bin"
    (site,) = folder.glob("lib/python*/site-packages")
    _link_requirements(site)
    _pip("--python", str(binaries / "python"), "install", str(wheel))
    return binaries


def _pip(*arguments: str) -> None:
    verb = [argument for argument in arguments if argument in {"wheel", "install"}]
    place = arguments.index(verb[0]) + 1
    command = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        *arguments[:place],
        "--no-deps",
        "--no-index",
    ]
    done = subprocess.run([*command, *arguments[place:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _link_requirements(site: Path) -> None:
    """Link the installed files of everything that the project requires, without its extras, into `site`."""
    wanted, seen = [Requirement(PROJECT)], set()
    while wanted:
        name = canonicalize_name(wanted.pop().name)
        if name in seen:
            continue
        seen.add(name)
        found = importlib.metadata.distribution(name)
        required = map(Requirement, found.requires or ())
        wanted += [each for each in required if each.marker is None or each.marker.evaluate({"extra": ""})]
        if name != PROJECT:
            _link(found, site)


def _link(found: importlib.metadata.Distribution, site: Path) -> None:
    for part in {Path(str(file)).parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
        source = Path(str(found.locate_file(part)))
        if not (site / part).exists():
            (site / part).symlink_to(source)
