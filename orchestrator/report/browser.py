"""Showing a file to a person: the only module that starts a browser."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Mapping
from pathlib import Path


def show(path: Path, environ: Mapping[str, str] = os.environ) -> bool:
    """Open `path` in the user's browser; False where there is none to open it in, such as on a server.

    Without a display only a browser that BROWSER names is used: one in the terminal would not show the charts.
    """
    display = environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY") or sys.platform in {"darwin", "win32"}
    if not display and not environ.get("BROWSER"):
        return False
    return webbrowser.open(path.resolve().as_uri())
