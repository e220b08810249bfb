"""How times, rates and ratios are written in sentences. Pure."""

from __future__ import annotations

from orchestrator.judge.stats import Ratio

LARGE = 1_000  # from here on, decimals are noise
SMALL = 10
NEAR = 0.005  # ratios closer to 1 than this would be rounded to 1.00


def seconds(value: float) -> str:
    """A time with its unit, to three digits or more: `68.5 s`, `0.0432 s`."""
    return f"{_number(value)} s"


def rate(value: float, samples: str) -> str:
    """Samples per second: `23.1 images/s`."""
    return f"{_number(value)} {samples}/s"


def times(found: Ratio) -> str:
    """A ratio with its interval, if it has one: `1.08 times (1.02 to 1.15)`."""
    return f"{factor(found.estimate)} times{between(found)}"


def between(found: Ratio) -> str:
    """The interval of a ratio, in brackets after a space; empty without one."""
    interval = found.interval
    return f" ({factor(interval.low)} to {factor(interval.high)})" if interval else ""


def factor(value: float) -> str:
    """A ratio as a number: `1.08`, `12.3`, `1,200`."""
    if value >= LARGE:
        return f"{value:,.0f}"
    if value >= SMALL:
        return f"{value:.1f}"
    return f"{value:.3f}" if value < 0.1 or (value != 1 and abs(value - 1) < NEAR) else f"{value:.2f}"


def _number(value: float) -> str:
    if value >= LARGE:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= SMALL else f"{value:.3g}"
