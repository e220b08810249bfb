"""Projects of a test's own: a checkout whose frameworks are behaviours of the echo workload."""

import shutil
from pathlib import Path

from tests.support.engine_cases import ECHO


def echo_project(folder: Path, *names: str) -> Path:
    """A copy of the echo project in `folder` with these frameworks; each does what it is called. Returns its root."""
    root = folder / "project"
    shutil.copytree(ECHO, root, ignore=shutil.ignore_patterns("__pycache__"))
    dockerfile = root / "images" / "echo" / "Dockerfile"
    first, _, _ = dockerfile.read_text().partition("LABEL ")
    labels = [
        ("rosetta.frameworks", " ".join(names)),
        ("rosetta.python", "3.11"),
        ("rosetta.disk.cpu", "200 MB"),
        *(
            (f"rosetta.framework.{name}.{key}", value)
            for name in names
            for key, value in (("title", name), ("version", "1"), ("module", "echo"))
        ),
    ]
    dockerfile.write_text(first + "LABEL " + " \\\n      ".join(f'{key}="{value}"' for key, value in labels) + "\n")
    return root
