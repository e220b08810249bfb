"""Figures as Plotly's plain JSON. Pure.

A trace has no colours, because they depend on the theme: `meta` has its style or phase, and page.js adds the colours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.report.charts.model import Line
from orchestrator.text import clip, plain

ROW = 26  # pixels of height for a bar
MAX_LABEL = 24  # characters of the label left of a bar, so that the bar fits on a phone
ROOM = 1.25  # length of the axis relative to the longest bar: the text at its end must fit on a phone
MAX_MARKED = 40  # points of a line that get a mark each


def text_of(text: str) -> str:
    """Text escaped for Plotly, which interprets some HTML."""
    return plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def short(value: float) -> str:
    """A number as it is written at a bar: at most six characters up to 99,999."""
    return f"{value:,.1f}" if value < 999.95 else f"{value:,.0f}"


def line(of: Line, points: Sequence[tuple[float, float]], form: str) -> dict[str, Any]:
    """The line of a row; `form` is the format string of a point's text, from x and y."""
    label = text_of(of.label)
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(points) <= MAX_MARKED else "lines",
        "x": [x for x, _ in points],
        "y": [y for _, y in points],
        "text": [f"{label}: {form.format(x, y)}" for x, y in points],
        "hoverinfo": "text",
        "meta": {"hue": of.style.hue, "form": of.style.form, "row": of.row},
    }


def bar(values: Sequence[float], meta: Mapping[str, Any]) -> dict[str, Any]:
    """One bar per row, from the first row down."""
    return {
        "type": "bar",
        "orientation": "h",
        "x": list(values),
        "y": list(range(len(values))),
        "hoverinfo": "skip",
        "meta": dict(meta),
    }


def bars(
    lines: Sequence[Line], traces: Sequence[Mapping[str, Any]], ends: Sequence[float], texts: Sequence[str], axis: str
) -> dict[str, Any]:
    """Horizontal bars from the first row down; `texts` are written at `ends`, where bar and whisker end.

    `meta.rows` has the table row of each bar, so that the filter of the page can hide bars.
    """
    labels = [line.label for line in lines]
    return {
        "data": list(traces),
        "layout": {
            "meta": {"rows": [line.row for line in lines], "height": ROW, "room": ROOM},
            "height": 64 + ROW * len(labels),
            "bargap": 0.35,
            "xaxis": {"title": {"text": axis}, "range": [0, ROOM * max(ends)], "fixedrange": True},
            "yaxis": {
                "tickvals": list(range(len(labels))),
                "ticktext": [text_of(clip(label, MAX_LABEL)) for label in labels],
                "range": [len(labels) - 0.4, -0.6],
                "fixedrange": True,
                "showgrid": False,
                "zeroline": False,
                "automargin": True,
            },
            "annotations": [
                {"x": end, "y": row, "text": text, "xanchor": "left", "xshift": 3, "showarrow": False}
                for row, (end, text) in enumerate(zip(ends, texts, strict=True))
            ],
        },
    }


def shade(*, x: tuple[float, float] | None = None, y: tuple[float, float] | None = None) -> dict[str, Any]:
    """A span of one axis over the whole other axis, as a Plotly shape; page.js adds the colour."""
    (x0, x1), (y0, y1) = x or (0.0, 1.0), y or (0.0, 1.0)
    refs = {"xref": "x" if x else "paper", "yref": "y" if y else "paper"}
    return {"type": "rect", **refs, "x0": x0, "x1": x1, "y0": y0, "y1": y1, "layer": "below"}


def axes(x: str, y: str, *, from_zero: bool = False, x_step: int | None = None) -> dict[str, Any]:
    """The layout of a chart of lines, with the titles of its axes; `x_step` is the distance between two ticks."""
    return {
        "height": 320,
        "xaxis": {"title": {"text": x}, "rangemode": "tozero", "fixedrange": True, "dtick": x_step},
        "yaxis": {
            "title": {"text": y},
            "rangemode": "tozero" if from_zero else "normal",
            "fixedrange": True,
            "automargin": True,
        },
    }
