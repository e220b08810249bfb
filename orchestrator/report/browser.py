"""Opens files in the user's browser. No other module starts one."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Mapping
from pathlib import Path


def show(path: Path, environ: Mapping[str, str] = os.environ) -> bool:
    """Open `path` in the user's browser. Returns False when there is none, for example on a server.

    Without a display only the browser in BROWSER is used: a text browser would not show the charts.
    """
    display = environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY") or sys.platform in {"darwin", "win32"}
    if not display and not environ.get("BROWSER"):
        return False
    return webbrowser.open(path.resolve().as_uri())
