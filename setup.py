"""Adds the files that the program works with to the wheel; everything else about the build is in pyproject.toml.

The wheel has them in orchestrator/_bundled/, with build.json, which names the commit that the wheel was built from.
"""

from __future__ import annotations  # so that an old Python reads on to requires-python

import json
import shutil
import subprocess
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = Path(__file__).resolve().parent
BUNDLED = ("images", "workloads", "configs", "results/published", "results/reference")
RECORD = "build.json"  # orchestrator/record/fingerprint.py reads it


class BuildPackage(build_py):
    """The package and the bundled files. An editable installation uses those of its checkout instead."""

    def run(self) -> None:
        if self.editable_mode:
            super().run()
            return
        package = Path(self.build_lib, "orchestrator")
        shutil.rmtree(package, ignore_errors=True)  # what an earlier build left may have been deleted since
        super().run()
        for name in BUNDLED:
            shutil.copytree(HERE / name, package / "_bundled" / name, ignore=_ignored)
        (package / "_bundled" / RECORD).write_text(_record(), encoding="utf-8")


class SourceArchive(sdist):
    """The source archive. It has no git history, so it names the commit too."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        Path(base_dir, RECORD).write_text(_record(), encoding="utf-8")


def _ignored(folder: str, names: list[str]) -> list[str]:
    """What fingerprints of workloads leave out too: compiled files and links."""
    return [name for name in names if name == "__pycache__" or name.endswith(".pyc") or Path(folder, name).is_symlink()]


def _record() -> str:
    """The commit and whether this tree differs from it, as JSON; null where the tree is not in git."""
    if (HERE / RECORD).is_file():  # in an unpacked source archive
        return (HERE / RECORD).read_text(encoding="utf-8")
    tracked = _git("ls-files", "--error-unmatch", "--", *BUNDLED) is not None  # a repository around it does not count
    commit = _git("rev-parse", "HEAD") if tracked else None
    changes = _git("status", "--porcelain", "--", "orchestrator", *BUNDLED) if commit else None
    return json.dumps({"git_commit": commit, "git_dirty": None if changes is None else bool(changes)}) + "\n"


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=HERE, capture_output=True, text=True, check=False)
    except OSError:  # no git
        return None
    return done.stdout.strip() if done.returncode == 0 else None


setup(cmdclass={"build_py": BuildPackage, "sdist": SourceArchive})
