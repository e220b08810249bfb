"""Renders the page as one HTML file that needs no network and no other file.

The templates escape everything from results. A content security policy in the head forbids loading anything, any style
attribute, and any script and style sheet except those with a listed sha256.

Details, numbers and code are noscript elements: to a browser that runs scripts they are one text each, which page.js
turns into elements when a reader opens them. A browser without scripts shows them all.
"""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import Any

from orchestrator.report import highlight, table
from orchestrator.report.page import Page
from orchestrator.text import plain

WITHOUT_SCRIPTS = "dialog { display: block; position: static } .tools { display: none }"


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
    style, script = _text("page.css"), _text("page.js")
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; "
        f"script-src {_hash(script)}; style-src {_hash(style)} {_hash(WITHOUT_SCRIPTS)}"
    )
    return environment.get_template("page.html.j2").render(
        page=page,
        policy=policy,
        style=style,
        without_scripts=WITHOUT_SCRIPTS,
        script=script,
        marks=table.MARKS,
        highlight=highlight.of,
    )


def _text(name: str) -> str:
    return (resources.files("orchestrator.report") / "templates" / name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    """The name of an inline script or style in a content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _legible(value: Any) -> Any:
    """Make text from results readable before it is escaped. Text that a template marks as safe is left as it is."""
    return plain(value) if isinstance(value, str) and not hasattr(value, "__html__") else value
