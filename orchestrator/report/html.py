"""Renders the page as one HTML file that needs no network and no other file.

Everything from results is escaped by the templates, or is JSON in a script block that the browser does not run. A
content security policy in the head forbids loading anything and running any script except the two with a listed sha256.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from importlib import resources
from typing import Any

from orchestrator.report import highlight, table
from orchestrator.report.page import Page
from orchestrator.text import plain

EMPTY = ""  # Plotly creates an empty style element and adds its few rules to it
# Plotly adds the styles of its maps unless an element with this id exists. The report has no maps.
_MAP_STYLES = re.compile(r'document\.getElementById\("([0-9a-f]{64})"\)')


def render(page: Page) -> str:
    """The text of the file."""
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
        "style-src-attr 'unsafe-inline'"  # Plotly sets style attributes; the page itself has no untrusted ones
    )
    return environment.get_template("page.html.j2").render(
        page=page,
        policy=policy,
        style=style,
        without_scripts=without_scripts,
        script=script,
        plotter=plotter,
        map_styles=_MAP_STYLES.findall(plotter),
        marks=table.MARKS,
        figures=_inert({chart.id: chart.figure for chart in charts}),
        highlight=highlight.of,
    )


def _text(name: str) -> str:
    return (resources.files("orchestrator.report") / "templates" / name).read_text(encoding="utf-8")


def _plotly() -> str:
    """The script of Plotly. plotly.offline reads it too, but imports half of the package first."""
    return (resources.files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


def _hash(content: str) -> str:
    """The name of an inline script or style in a content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _inert(value: object) -> str:
    """JSON without <, > and &, so that nothing in it can end its script block."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _legible(value: Any) -> Any:
    """Make text from results readable before it is escaped. Text that a template marks as safe is left as it is."""
    return plain(value) if isinstance(value, str) and not hasattr(value, "__html__") else value
