"""The colours that a page shows, and how far apart they look."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Sequence
from typing import Any

from PIL import Image

from tests.browser.browser import Browser

CLEAR = 9.0  # distance in OKLab, times 100: the difference is seen at once, in a line too
Colour = tuple[int, int, int]


def of(chromium: Browser, selector: str) -> list[Colour]:
    """The colour of each element, as the screen shows it: that which differs most from what surrounds it."""
    boxes = chromium(
        "[...document.querySelectorAll(arguments[0])].map(each => each.getBoundingClientRect())"
        ".map(box => [box.left + scrollX, box.top + scrollY, box.right + scrollX, box.bottom + scrollY])",
        selector,
    )
    left, top = (math.floor(min(box[side] for box in boxes)) for side in (0, 1))
    right, bottom = (math.ceil(max(box[side] for box in boxes)) for side in (2, 3))
    shot = Image.open(io.BytesIO(chromium.shot(left, top, right - left, bottom - top))).convert("RGB")
    return [_strongest(shot.crop((x - left + 1, y - top + 1, x_ - left - 1, y_ - top - 1))) for x, y, x_, y_ in boxes]


def nearest(colours: Sequence[Colour], kinds: Sequence[Any]) -> float:
    """The least distance of two colours of one kind."""
    pairs = itertools.combinations(zip(colours, kinds, strict=True), 2)
    return min(_distance(one, other) for (one, kind), (other, kind_) in pairs if kind == kind_)


def _strongest(image: Image.Image) -> Colour:
    counts: list[tuple[int, Any]] = image.getcolors() or []
    paper: Colour = max(counts)[1]
    often: list[Colour] = [colour for count, colour in counts if count >= 6]  # not the blurred edges
    return max(often, key=lambda colour: _distance(colour, paper)) if len(often) > 1 else paper


def _distance(one: Colour, other: Colour) -> float:
    return 100 * math.dist(_oklab(one), _oklab(other))


def _oklab(colour: Colour) -> tuple[float, float, float]:
    """OKLab, in which equal distances look alike: https://bottosson.github.io/posts/oklab/."""
    r, g, b = (v / 12.92 if (v := part / 255) <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for part in colour)
    long = (0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b) ** (1 / 3)
    medium = (0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b) ** (1 / 3)
    short = (0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short,
    )
