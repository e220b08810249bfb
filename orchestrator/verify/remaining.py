"""What is left to do for a framework that passes `check`: documents and tests that do not name it yet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from orchestrator.plan.catalog import Framework, Image
from orchestrator.plan.workloads import WORKLOADS


def steps(root: Path, framework: Framework, image: Image) -> Iterator[str]:
    """Yield each step in words. `root` is the checkout."""
    folder = f"workloads/{framework.module}"
    if missing := [name for name in WORKLOADS if name not in framework.workloads]:
        yield f"{folder}: {', '.join(missing)}; without, tables show a dash there"
    if not (root / "tests" / "docker" / f"test_{framework.module}.py").is_file():
        yield f"tests/docker/test_{framework.module}.py: what is special about {framework.title}"
    if f"| `{framework.id}`" not in _text(root / "docs" / "frameworks.md"):
        yield f"docs/frameworks.md: a row for `{framework.id}`, which `.venv/bin/python -m tests.documents` writes"
    if framework.title not in _text(root / "CHANGELOG.md"):
        yield f"CHANGELOG.md: a line about {framework.title}"
    if f"rosetta.disk.{'cpu' if 'cpu' in image.locks else 'cuda'}" not in image.labels:
        yield f"images/{image.name}/Dockerfile: the label rosetta.disk.cpu, with the size that `images ls` shows"
    if "cuda" not in image.locks:
        yield f"a CUDA build, if {framework.title} has one (CONTRIBUTING.md, Add a framework)"


def _text(path: Path) -> str:
    """The text of a file; empty without the file."""
    return path.read_text(encoding="utf-8") if path.is_file() else ""
