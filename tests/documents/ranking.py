"""Draws a table of times as a bar chart in SVG. Loads nothing, and can be read on a light and on a dark page."""

import textwrap
from xml.sax.saxutils import escape

from orchestrator.judge import disturbances
from orchestrator.report import columns
from orchestrator.report.table import Column, Measurement

WIDTH, ROW, BAR_AT, BAR_WIDTH = 860, 26, 170, 560
STYLE = """
  text { font: 14px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }
  .title { font-size: 18px; font-weight: 600 } .small { font-size: 12px; fill: #59636e } .name { text-anchor: end }
  .page { fill: #ffffff; stroke: #d1d9e0 } .bar { fill: #2f6fb7 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .small { fill: #9198a1 } .page { fill: #0d1117; stroke: #3d444d } .bar { fill: #4f94e0 }
  }
"""


def svg(table) -> str:
    """The chart of a table whose rows are ranked by a time in seconds. Rows without a time are left out."""
    rows = [
        (results, mark, shown)
        for results, mark in zip(table.results, table.marks, strict=True)
        if (shown := columns.timed(results, lambda figures: figures.ranking_s)) is not None
    ]
    longest = max(float(shown) for _, _, shown in rows)
    notes = [f"{line.symbol} {line.meaning}" for line in table.legend] + [_certainty(rows)]
    heads = textwrap.wrap(" · ".join(table.conditions), 120)
    lines = [
        _text(20, 34, f"{table.title.partition(':')[0]}: seconds, a shorter bar is better", "title"),
        *(_text(20, 56 + 16 * place, line, "small") for place, line in enumerate(heads)),
    ]
    top = 56 + 16 * len(heads) + 4
    for place, (results, mark, shown) in enumerate(rows):
        y, length = top + ROW * place, BAR_WIDTH * float(shown) / longest
        figure = Column(title="", form=",.1f").show(shown)
        lines += [
            _text(BAR_AT - 8, y + 15, columns.title_of(results), "name"),
            f'<rect class="bar" x="{BAR_AT}" y="{y}" width="{length:.1f}" height="{ROW - 6}" rx="2"/>',
            _text(BAR_AT + length + 8, y + 15, f"{figure} {mark.symbol}" if mark else figure),
        ]
    bottom = top + ROW * len(rows) + 18
    lines += [_text(20, bottom + 16 * place, note, "small") for place, note in enumerate(notes)]
    height = bottom + 16 * len(notes)
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
            f"<title>{escape(table.title)}</title><style>{STYLE}</style>",
            f'<rect class="page" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="6"/>',
            *lines,
            "</svg>\n",
        ]
    )


def _certainty(rows) -> str:
    """What the figures can show, in words."""
    words = (
        "Medians, with half their 95 % intervals."
        if all(isinstance(shown, Measurement) for _, _, shown in rows)
        else "One run each: the order is not proven."
    )
    disturbed = any(disturbances.all_disturbed(results) for results, _, _ in rows)
    return words + (" ! marks a time that other programs disturbed." if disturbed else "")


def _text(x: float, y: float, words: str, kind: str = "") -> str:
    name = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y}"{name}>{escape(words)}</text>'
