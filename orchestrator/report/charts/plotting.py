"""Figures as Plotly's plain JSON. Pure.

Colours are not decided here: a trace's `meta` says which style or phase it shows, and the page paints it for its theme.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.report.charts.model import Line
from orchestrator.text import clip, plain

ROW = 26  # pixels of height for a bar
MAX_LABEL = 24  # characters beside a bar, so that a phone has room for the bar
ROOM = 1.25  # how much longer than the longest bar an axis is: a phone has to show what is written at its end
MAX_MARKED = 40  # points of a line that get a mark each


def text_of(text: str) -> str:
    """Text as Plotly has to be given it: it reads some HTML."""
    return plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def short(value: float) -> str:
    """A number as it is written at a bar: in six characters up to 99,999."""
    return f"{value:,.1f}" if value < 999.95 else f"{value:,.0f}"


def line(of: Line, points: Sequence[tuple[float, float]], told: str) -> dict[str, Any]:
    """The line of a row; `told` says one point in words, from x and y."""
    label = text_of(of.label)
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(points) <= MAX_MARKED else "lines",
        "x": [x for x, _ in points],
        "y": [y for _, y in points],
        "text": [f"{label}: {told.format(x, y)}" for x, y in points],
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
    lines: Sequence[Line], traces: Sequence[Mapping[str, Any]], ends: Sequence[float], told: Sequence[str], axis: str
) -> dict[str, Any]:
    """Horizontal bars from the first row down; `told` is written at `ends`, where bar and whisker end.

    The page leaves rows out when its filter does: `meta.rows` says which row of the table each bar is.
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
                for row, (end, text) in enumerate(zip(ends, told, strict=True))
            ],
        },
    }


def shade(*, x: tuple[float, float] | None = None, y: tuple[float, float] | None = None) -> dict[str, Any]:
    """A span of one axis, all along the other, as a Plotly shape; the page gives it its colour."""
    (x0, x1), (y0, y1) = x or (0.0, 1.0), y or (0.0, 1.0)
    refs = {"xref": "x" if x else "paper", "yref": "y" if y else "paper"}
    return {"type": "rect", **refs, "x0": x0, "x1": x1, "y0": y0, "y1": y1, "layer": "below"}


def axes(x: str, y: str, *, from_zero: bool = False, x_step: int | None = None) -> dict[str, Any]:
    """The layout of a chart of lines, with the titles of its axes; `x_step` lies between two ticks."""
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
