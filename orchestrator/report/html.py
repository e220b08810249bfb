"""The page → one HTML file that needs nothing else: no network, no folder beside it.

All that comes from results is escaped by the templates, or stands as JSON in an inert script block. The browser is told
to load nothing and to run only the two scripts whose sha256 stand in the head.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from importlib import resources
from typing import Any

from orchestrator.report import highlight
from orchestrator.report.page import Page
from orchestrator.report.sources import SourceFile
from orchestrator.text import plain

EMPTY = ""  # Plotly adds its few style rules to a style element that it creates empty
# Plotly also brings the styles of its maps, unless there is an element with this id. There are no maps here.
_MAP_STYLES = re.compile(r'document\.getElementById\("([0-9a-f]{64})"\)')


def render(page: Page, marked: Callable[[SourceFile], str] = highlight.of) -> str:
    """The file's text; `marked` gives source code as HTML."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("orchestrator.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_legible,
    )
    style, script, plotter = _text("page.css"), _text("page.js"), _plotly()
    without_scripts = "dialog { display: block; position: static } .chart, .usage, .tools { display: none }"
    charts = [chart for section in page.sections for chart in section.charts]
    charts += (chart for cell in page.cells for used in cell.used for chart in used.charts)
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; "
        f"script-src {_hash(plotter)} {_hash(script)}; "
        f"style-src-elem {_hash(style)} {_hash(without_scripts)} {_hash(EMPTY)}; "
        "style-src-attr 'unsafe-inline'"  # Plotly sets attributes; no attribute of the page itself is untrusted
    )
    return environment.get_template("page.html.j2").render(
        page=page,
        policy=policy,
        style=style,
        without_scripts=without_scripts,
        script=script,
        plotter=plotter,
        map_styles=_MAP_STYLES.findall(plotter),
        figures=_inert({chart.id: chart.figure for chart in charts}),
        highlight=marked,
    )


def _text(name: str) -> str:
    return (resources.files("orchestrator.report") / "templates" / name).read_text(encoding="utf-8")


def _plotly() -> str:
    """The script of Plotly. plotly.offline would read it too, and import half of the package first."""
    return (resources.files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


def _hash(content: str) -> str:
    """An inline script or style as a content security policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _inert(value: object) -> str:
    """JSON that nothing in it can end the script block of: without <, > and &."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _legible(value: Any) -> Any:
    """Every value a template shows, before it is escaped; what a template calls safe is no text of a result."""
    return plain(value) if isinstance(value, str) and not hasattr(value, "__html__") else value
