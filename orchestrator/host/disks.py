"""Free space on the disks of this machine."""

from __future__ import annotations

import shutil
from pathlib import Path


def free(folder: Path) -> int | None:
    """Free bytes on the disk of a folder that may not exist yet; None when it cannot be found out."""
    for place in (folder, *folder.parents):
        try:
            return shutil.disk_usage(place).free
        except OSError:
            continue
    return None
